# What "lb" and "lb_zone" accept, and how they refuse the rest.

use Test::Nginx::Socket;

plan tests => repeat_each() * 57;

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

=== TEST 1: an upstream with lb balances
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 2: servers may come before lb, and have all of nginx's parameters
--- http_config
    upstream u {
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=2 max_fails=0 fail_timeout=3s max_conns=9;
        server 127.0.0.1:1 down;
        server 127.0.0.1:2 backup;
        lb_zone 1m;
        lb round_robin;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 3: an upstream without lb is left alone
--- http_config
    upstream u {
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = / { proxy_pass http://u/b; add_header X-Lb "[$lb_server$lb_tries$lb_method]"; }
    location = /b { return 200 "here\n"; }
--- response_headers
X-Lb: []
--- response_body
here



=== TEST 4: keepalive after lb works
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        keepalive 4;
    }
--- config
    location = / { proxy_pass http://u/b; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 5: an unknown method is refused
--- http_config
    upstream u { lb fastest; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown method "fastest" in "lb".*"round_robin".* in \S+nginx\.conf:\d+/



=== TEST 6: a parameter that the method does not have is refused
--- http_config
    upstream u { lb round_robin two=2; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid parameter "two=2".* in \S+nginx\.conf:\d+/



=== TEST 7: lb without a method is refused
--- http_config
    upstream u { lb; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid number of arguments in "lb" directive in \S+nginx\.conf:\d+/



=== TEST 8: lb twice is refused
--- http_config
    upstream u { lb round_robin; lb round_robin; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 9: lb outside of upstream is refused
--- http_config
    lb round_robin;
--- config
    location / { return 200; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" directive is not allowed here in \S+nginx\.conf:\d+/



=== TEST 10: lb in a server is refused
--- config
    lb round_robin;
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" directive is not allowed here in \S+nginx\.conf:\d+/



=== TEST 11: lb after another method is refused
--- http_config
    upstream u { least_conn; lb round_robin; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" cannot follow another balancing method.* in \S+nginx\.conf:\d+/



=== TEST 12: another method after lb is refused
--- http_config
    upstream u { lb round_robin; least_conn; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*another balancing method follows "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 13: ip_hash after lb is refused
--- http_config
    upstream u { lb round_robin; ip_hash; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*another balancing method follows "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 14: hash after lb is refused
--- http_config
    upstream u { lb round_robin; hash $uri; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*another balancing method follows "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 15: lb after random is refused
--- http_config
    upstream u { random; lb round_robin; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" cannot follow another balancing method.* in \S+nginx\.conf:\d+/



=== TEST 16: nginx's zone is refused with a hint
--- http_config
    upstream u { lb round_robin; zone u 64k; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"zone" cannot be used together with "lb" in upstream "u", use "lb_zone" in \S+nginx\.conf:\d+/



=== TEST 17: nginx's zone before lb is refused likewise
--- http_config
    upstream u { zone u 64k; lb round_robin; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"zone" cannot be used together with "lb" in upstream "u", use "lb_zone" in \S+nginx\.conf:\d+/



=== TEST 18: lb_zone twice is refused
--- http_config
    upstream u { lb round_robin; lb_zone 1m; lb_zone 1m; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_zone" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 19: lb_zone of no size is refused
--- http_config
    upstream u { lb round_robin; lb_zone many; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid size "many" in "lb_zone", it must be at least 64k in \S+nginx\.conf:\d+/



=== TEST 20: too small an lb_zone is refused
--- http_config
    upstream u { lb round_robin; lb_zone 63k; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid size "63k" in "lb_zone", it must be at least 64k in \S+nginx\.conf:\d+/



=== TEST 21: an lb_zone without room for the servers is refused
--- http_config eval
"upstream u { lb round_robin; lb_zone 64k; "
. CORE::join(' ', map { "server 127.0.0.1:$_;" } 1 .. 60) . " }"
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_zone" of 64k in upstream "u" has room for \d+ servers, not for 60; \d+k is enough in \S+nginx\.conf:\d+/



=== TEST 22: lb_zone without lb is refused
--- http_config
    upstream u { lb_zone 1m; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_zone" without "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 23: an upstream of backups only is refused
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:1 backup; }
--- must_die
--- error_log eval
qr/\[emerg\].*1 servers, 1 of them backup, in upstream "u".* in \S+nginx\.conf:\d+/



=== TEST 24: an upstream without servers is refused
--- http_config
    upstream u { lb round_robin; }
--- must_die
--- error_log eval
qr/\[emerg\].*no servers are inside upstream in \S+nginx\.conf:\d+/



=== TEST 25: the smallest lb_zone serves a few servers
--- http_config
    upstream u {
        lb round_robin;
        lb_zone 64k;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=3;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=2;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 26: names that nginx would look up at runtime are refused
--- http_config
    resolver 127.0.0.1:1;
    upstream u { lb round_robin; server localhost:1 resolve; }
--- must_die
--- error_log eval
qr/\[emerg\].*"resolve" of server "localhost:1" is not supported with "lb" in upstream "u" in \S+nginx\.conf:\d+/
--- skip_nginx: 2: < 1.27.3



=== TEST 27: sticky is refused with a hint
--- http_config
    upstream u { lb round_robin; sticky cookie c; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"sticky" cannot be used together with "lb" in upstream "u", use "lb hash" in \S+nginx\.conf:\d+/
--- skip_nginx: 2: < 1.29.7



=== TEST 28: sticky before lb is refused likewise
--- http_config
    upstream u { sticky cookie c; lb round_robin; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb" cannot follow another balancing method/
--- skip_nginx: 2: < 1.29.7
