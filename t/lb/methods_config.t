# What "lb METHOD", lb_slow_start, lb_outlier and lb_panic accept, and how
# they refuse the rest.

use Test::Nginx::Socket;

plan tests => repeat_each() * 53;

no_long_string();
no_root_location();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', 'location / { proxy_pass http://u; }')
        if !defined $block->config;
    $block->set_value('request', 'GET /') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: all methods, and all parameters of the rest in any order
--- http_config
    upstream a { lb least_conn; server 127.0.0.1:1; }
    upstream b { lb random; server 127.0.0.1:1; server 127.0.0.1:2 backup; }
    upstream c { lb p2c; server 127.0.0.1:1; }
    upstream d { lb least_time; server 127.0.0.1:1; }
    upstream e { lb hash "$request_uri$arg_a x"; server 127.0.0.1:1; }
    upstream f { lb_slow_start 0; lb_panic 0; lb round_robin; server 127.0.0.1:1; }
    upstream u {
        lb_outlier max_ejected=100% ejection=1d window=1ms errors=1000000;
        lb_slow_start 1d;
        lb_panic 100%;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb hash $uri;
    }
--- config
    location = / { proxy_pass http://u/b; add_header X-Lb $lb_method; }
    location = /b { return 200 "here\n"; }
--- response_headers
X-Lb: hash
--- response_body
here



=== TEST 2: the methods are named
--- http_config
    upstream u { lb ip_hash; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown method "ip_hash" in "lb", it must be "round_robin", "least_conn", "random", "p2c", "least_time" or "hash" in \S+nginx\.conf:\d+/



=== TEST 3: hash without a key
--- http_config
    upstream u { lb hash; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb hash" must have one key.* in \S+nginx\.conf:\d+/



=== TEST 4: hash with two keys
--- http_config
    upstream u { lb hash $uri consistent; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb hash" must have one key.* in \S+nginx\.conf:\d+/



=== TEST 5: hash with an empty key
--- http_config
    upstream u { lb hash ""; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb hash" must have one key.* in \S+nginx\.conf:\d+/



=== TEST 6: hash with an unknown variable
--- http_config
    upstream u { lb hash $nothing; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown "nothing" variable/



=== TEST 7: a parameter of a method that has none
--- http_config
    upstream u { lb random two; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "two", "lb random" takes none in \S+nginx\.conf:\d+/



=== TEST 8: lb_slow_start with no time
--- http_config
    upstream u { lb random; lb_slow_start soon; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid time "soon" in "lb_slow_start", it must be between 0 and 1d in \S+nginx\.conf:\d+/



=== TEST 9: lb_slow_start out of range
--- http_config
    upstream u { lb random; lb_slow_start 2d; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid time "2d" in "lb_slow_start"/



=== TEST 10: lb_slow_start twice
--- http_config
    upstream u { lb random; lb_slow_start 1s; lb_slow_start 1s; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_slow_start" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 11: lb_slow_start without lb
--- http_config
    upstream u { lb_slow_start 1s; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_slow_start" without "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 12: lb_panic out of range
--- http_config
    upstream u { lb random; lb_panic 101; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid percentage "101" in "lb_panic", it must be between 0 and 100 in \S+nginx\.conf:\d+/



=== TEST 13: lb_panic with no number
--- http_config
    upstream u { lb random; lb_panic %; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid percentage "%" in "lb_panic"/



=== TEST 14: lb_panic twice
--- http_config
    upstream u { lb random; lb_panic 1; lb_panic 1; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_panic" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 15: lb_panic without lb
--- http_config
    upstream u { lb_panic 50; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_panic" without "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 16: lb_outlier without errors
--- http_config
    upstream u { lb random; lb_outlier window=1s; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_outlier" must have the parameter "errors=" in \S+nginx\.conf:\d+/



=== TEST 17: lb_outlier with no errors
--- http_config
    upstream u { lb random; lb_outlier errors=0; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "errors=0" in "lb_outlier", a number between 1 and 1000000 is expected in \S+nginx\.conf:\d+/



=== TEST 18: lb_outlier with too many errors
--- http_config
    upstream u { lb random; lb_outlier errors=1000001; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "errors=1000001" in "lb_outlier"/



=== TEST 19: lb_outlier with no window
--- http_config
    upstream u { lb random; lb_outlier errors=1 window=0; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "window=0" in "lb_outlier", a time between 1ms and 1d is expected in \S+nginx\.conf:\d+/



=== TEST 20: lb_outlier with too long an ejection
--- http_config
    upstream u { lb random; lb_outlier errors=1 ejection=25h; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "ejection=25h" in "lb_outlier"/



=== TEST 21: lb_outlier with a wrong percentage
--- http_config
    upstream u { lb random; lb_outlier errors=1 max_ejected=200%; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "max_ejected=200%" in "lb_outlier", a percentage between 0 and 100 is expected in \S+nginx\.conf:\d+/



=== TEST 22: lb_outlier with an unknown parameter
--- http_config
    upstream u { lb random; lb_outlier errors=1 status=500; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown parameter "status=500" in "lb_outlier", it must be "errors=", "window=", "ejection=" or "max_ejected=" in \S+nginx\.conf:\d+/



=== TEST 23: lb_outlier with a parameter twice
--- http_config
    upstream u { lb random; lb_outlier errors=1 window=1s window=1s; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*duplicate parameter "window=1s" in "lb_outlier" in \S+nginx\.conf:\d+/



=== TEST 24: lb_outlier twice
--- http_config
    upstream u { lb random; lb_outlier errors=1; lb_outlier errors=1; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_outlier" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 25: lb_outlier without lb
--- http_config
    upstream u { lb_outlier errors=1; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_outlier" without "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 26: lb_outlier without any parameter
--- http_config
    upstream u { lb random; lb_outlier; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid number of arguments in "lb_outlier" directive in \S+nginx\.conf:\d+/
