# What lb_health_check accepts, and how it refuses the rest.

use Test::Nginx::Socket;

plan tests => repeat_each() * 122;

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', 'location = / { proxy_pass http://u; }')
        if !defined $block->config;
    $block->set_value('request', 'GET /') if !defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: all of it by default
--- http_config
    upstream u {
        lb_health_check;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 2: every parameter of http, in any order
--- http_config
    upstream u {
        lb_health_check "body=all is well" status=200,204,301-302 port=1 host=h:80 method=OPTIONS uri=* jitter=0% fall=1000 rise=1 timeout=1d interval=10ms http;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 3: every parameter of tcp
--- http_config
    upstream u {
        lb_health_check tcp interval=1m timeout=100ms rise=3 fall=2 jitter=100% port=65535;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 4: HEAD
--- http_config
    upstream u {
        lb_health_check method=HEAD uri=/healthz?a=b;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }
--- config
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
--- response_body
here



=== TEST 5: interval= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "interval="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "interval" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 6: interval=0 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "interval=0"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "0" of "interval" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 7: interval=9ms is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "interval=9ms"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "9ms" of "interval" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 8: interval=2d is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "interval=2d"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "2d" of "interval" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 9: interval=fast is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "interval=fast"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "fast" of "interval" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 10: timeout= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "timeout="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "timeout" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 11: timeout=0 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "timeout=0"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "0" of "timeout" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 12: timeout=9ms is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "timeout=9ms"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "9ms" of "timeout" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 13: timeout=2d is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "timeout=2d"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "2d" of "timeout" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 14: timeout=fast is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "timeout=fast"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "fast" of "timeout" in "lb_health_check", it must be from 10ms to 1d.* in \S+nginx\.conf:\d+/



=== TEST 15: rise=0 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "rise=0"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "0" of "rise" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 16: rise=1001 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "rise=1001"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "1001" of "rise" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 17: rise=-1 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "rise=-1"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "-1" of "rise" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 18: rise=two is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "rise=two"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "two" of "rise" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 19: fall=0 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "fall=0"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "0" of "fall" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 20: fall=1001 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "fall=1001"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "1001" of "fall" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 21: fall=-1 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "fall=-1"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "-1" of "fall" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 22: fall=two is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "fall=two"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "two" of "fall" in "lb_health_check", it must be from 1 to 1000.* in \S+nginx\.conf:\d+/



=== TEST 23: jitter=10 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "jitter=10"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "10" of "jitter" in "lb_health_check", it must be from 0% to 100%.* in \S+nginx\.conf:\d+/



=== TEST 24: jitter=% is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "jitter=%"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "%" of "jitter" in "lb_health_check", it must be from 0% to 100%.* in \S+nginx\.conf:\d+/



=== TEST 25: jitter=101% is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "jitter=101%"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "101%" of "jitter" in "lb_health_check", it must be from 0% to 100%.* in \S+nginx\.conf:\d+/



=== TEST 26: jitter=x% is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "jitter=x%"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "x%" of "jitter" in "lb_health_check", it must be from 0% to 100%.* in \S+nginx\.conf:\d+/



=== TEST 27: port=0 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "port=0"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "0" of "port" in "lb_health_check", it must be from 1 to 65535.* in \S+nginx\.conf:\d+/



=== TEST 28: port=65536 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "port=65536"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "65536" of "port" in "lb_health_check", it must be from 1 to 65535.* in \S+nginx\.conf:\d+/



=== TEST 29: port=http is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "port=http"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "http" of "port" in "lb_health_check", it must be from 1 to 65535.* in \S+nginx\.conf:\d+/



=== TEST 30: uri= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "uri="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "uri" in "lb_health_check", it must be "\/" and at most 2047 more characters.* in \S+nginx\.conf:\d+/



=== TEST 31: uri=healthz is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "uri=healthz"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "healthz" of "uri" in "lb_health_check", it must be "\/" and at most 2047 more characters.* in \S+nginx\.conf:\d+/



=== TEST 32: uri= /a b is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "uri= /a b"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value " \/a b" of "uri" in "lb_health_check", it must be "\/" and at most 2047 more characters.* in \S+nginx\.conf:\d+/



=== TEST 33: method=get is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "method=get"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "get" of "method" in "lb_health_check", it must be "GET", "HEAD" or "OPTIONS".* in \S+nginx\.conf:\d+/



=== TEST 34: method=POST is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "method=POST"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "POST" of "method" in "lb_health_check", it must be "GET", "HEAD" or "OPTIONS".* in \S+nginx\.conf:\d+/



=== TEST 35: host= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "host="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "host" in "lb_health_check", it must be from 1 to 255 characters.* in \S+nginx\.conf:\d+/



=== TEST 36: host=a b is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "host=a b"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "a b" of "host" in "lb_health_check", it must be from 1 to 255 characters.* in \S+nginx\.conf:\d+/



=== TEST 37: status= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 38: status=20 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=20"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "20" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 39: status=600 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=600"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "600" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 40: status=300-200 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=300-200"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "300-200" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 41: status=200, is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=200,"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "200," of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 42: status=200- is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=200-"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "200-" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 43: status=2xx is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "status=2xx"; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "2xx" of "status" in "lb_health_check", it must be at most 16 codes or ranges from 100 to 599.* in \S+nginx\.conf:\d+/



=== TEST 44: body= is refused
--- http_config
    upstream u { lb round_robin; lb_health_check "body="; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*invalid value "" of "body" in "lb_health_check", it must be from 1 to 255 bytes.* in \S+nginx\.conf:\d+/



=== TEST 45: udp is refused
--- http_config
    upstream u { lb round_robin; lb_health_check udp; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown parameter "udp" in "lb_health_check".* in \S+nginx\.conf:\d+/



=== TEST 46: passes=2 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check passes=2; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown parameter "passes=2".* in \S+nginx\.conf:\d+/



=== TEST 47: mandatory=1 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check mandatory=1; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*unknown parameter "mandatory=1".* in \S+nginx\.conf:\d+/



=== TEST 48: rise=1 rise=2 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check rise=1 rise=2; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*duplicate parameter "rise=2".* in \S+nginx\.conf:\d+/



=== TEST 49: http tcp is refused
--- http_config
    upstream u { lb round_robin; lb_health_check http tcp; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*duplicate parameter "tcp".* in \S+nginx\.conf:\d+/



=== TEST 50: tcp http is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp http; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*duplicate parameter "http".* in \S+nginx\.conf:\d+/



=== TEST 51: mandatory mandatory is refused
--- http_config
    upstream u { lb round_robin; lb_health_check mandatory mandatory; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*duplicate parameter "mandatory".* in \S+nginx\.conf:\d+/



=== TEST 52: tcp uri=/ is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp uri=/; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "uri" cannot be used with "tcp".* in \S+nginx\.conf:\d+/



=== TEST 53: tcp method=GET is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp method=GET; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "method" cannot be used with "tcp".* in \S+nginx\.conf:\d+/



=== TEST 54: tcp host=h is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp host=h; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "host" cannot be used with "tcp".* in \S+nginx\.conf:\d+/



=== TEST 55: tcp status=200 is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp status=200; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "status" cannot be used with "tcp".* in \S+nginx\.conf:\d+/



=== TEST 56: tcp body=x is refused
--- http_config
    upstream u { lb round_robin; lb_health_check tcp body=x; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "body" cannot be used with "tcp".* in \S+nginx\.conf:\d+/



=== TEST 57: method=HEAD body=x is refused
--- http_config
    upstream u { lb round_robin; lb_health_check method=HEAD body=x; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*parameter "body" cannot be used with "method=HEAD".* in \S+nginx\.conf:\d+/



=== TEST 58: uri=* is refused
--- http_config
    upstream u { lb round_robin; lb_health_check uri=*; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"uri=\*" needs "method=OPTIONS".* in \S+nginx\.conf:\d+/



=== TEST 59: twice is refused
--- http_config
    upstream u { lb round_robin; lb_health_check; lb_health_check; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_health_check" directive is duplicate in \S+nginx\.conf:\d+/



=== TEST 60: without lb it is refused
--- http_config
    upstream u { lb_health_check; server 127.0.0.1:1; }
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_health_check" without "lb" in upstream "u" in \S+nginx\.conf:\d+/



=== TEST 61: outside of upstream it is refused
--- config
    lb_health_check;
--- must_die
--- error_log eval
qr/\[emerg\].*"lb_health_check" directive is not allowed here in \S+nginx\.conf:\d+/
