# What the balancer's directives accept; t/lb/refused.t has the rest.

use Test::Nginx::Socket;

plan tests => repeat_each() * 22;

no_long_string();
no_root_location();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', <<'END') if !defined $block->config;
    location = / { proxy_pass http://u/b; }
    location = /b { return 200 "here\n"; }
END
    $block->set_value('request', 'GET /');
    $block->set_value('response_body', "here\n")
        if !defined $block->response_body;
});

run_tests();

__DATA__

=== TEST 1: an upstream with lb balances
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }



=== TEST 2: servers may come before lb, and have all of nginx's parameters
--- http_config
    upstream u {
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=2 max_fails=0 fail_timeout=3s max_conns=9;
        server 127.0.0.1:1 down;
        server 127.0.0.1:2 backup;
        lb_zone 1m;
        lb round_robin;
    }



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



=== TEST 5: the smallest lb_zone serves a few servers
--- http_config
    upstream u {
        lb round_robin;
        lb_zone 64k;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=3;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT weight=2;
    }



=== TEST 6: checks with all defaults
--- http_config
    upstream u {
        lb_health_check;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }



=== TEST 7: every parameter of checks by HTTP, in any order
--- http_config
    upstream u {
        lb_health_check "body=all is well" status=200,204,301-302 port=1 host=h:80 method=OPTIONS uri=* jitter=0% fall=1000 rise=1 timeout=1d interval=10ms http;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }



=== TEST 8: every parameter of checks by TCP
--- http_config
    upstream u {
        lb_health_check tcp interval=1m timeout=100ms rise=3 fall=2 jitter=100% port=65535;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }



=== TEST 9: checks by HEAD
--- http_config
    upstream u {
        lb_health_check method=HEAD uri=/healthz?a=b;
        server 127.0.0.1:$TEST_NGINX_SERVER_PORT;
        lb round_robin;
    }



=== TEST 10: all methods, and all parameters of the rest in any order
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
