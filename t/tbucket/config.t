# What the limiter's directives accept, and of what they warn;
# t/tbucket/refused.t has the rest.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 24;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: every directive where it belongs
--- http_config
    tbucket_zone $http_x_api_key zone=a:32k rate=1r/d capacity=1000000 fallback=$tbucket_addr scope=node;
    tbucket_zone $tbucket_addr$uri zone=b:1m rate=0.001r/s;
    tbucket_refill 10ms;
    tbucket zone=a;
    tbucket_status 400;
    tbucket_headers legacy;
    tbucket_log_level info;
    tbucket_dry_run on;
    tbucket_ipv6_prefix 1;
--- config
    tbucket zone=a cost=0.001;
    tbucket zone=b cost=1000000;
    tbucket_status 599;
    tbucket_headers off;
    tbucket_log_level error;
    tbucket_dry_run off;
    tbucket_ipv6_prefix 128;
    location = /t {
        tbucket off;
        tbucket_status 429;
        tbucket_headers ietf;
        tbucket_log_level notice;
        tbucket_ipv6_prefix 64;
        alias html/index.html;
    }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 2: a zone may be used before it is declared
--- http_config
    tbucket zone=z;
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 10s;
--- config
    location = /t { alias html/index.html; }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 3: a zone need not be used
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    location = /t { alias html/index.html; }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 4: a key that the response gives a value to
--- http_config
    tbucket_zone "$arg_a${upstream_http_x_user}" zone=z:1m rate=1r/s;
--- config
    tbucket zone=z;
--- request
GET /
--- error_log eval
qr/\[warn\] .*variable "\$upstream_http_x_user" of the key is not known yet when a request is checked in \S+nginx\.conf:\d+$/
--- no_error_log
"$arg_a"



=== TEST 5: a fallback and a cost that are not known yet
--- http_config
    tbucket_zone $http_x fallback=$Sent_http_x zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=$request_body;
--- request
GET /
--- error_log eval
[qr/\[warn\] .*variable "\$Sent_http_x" of the key is not known/,
 qr/\[warn\] .*variable "\$request_body" of the cost is not known/]



=== TEST 6: variables that are known, though some look alike
--- http_config
    tbucket_zone $remote_user$request_method$upstream_http zone=z:1m rate=1r/s;
--- config
    set $upstream_http x;
    set $upstream_pool x;
    tbucket zone=z cost=$upstream_pool;
--- request
GET /
--- no_error_log
is not known yet



=== TEST 7: a constant cost above the capacity
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=10;
    tbucket_zone all zone=y:1m rate=1r/s capacity=20;
--- config
    tbucket zone=z cost=20;
    location /y { tbucket zone=y cost=20; }
--- request
GET /
--- error_code: 429
--- error_log eval
[qr/\[warn\] .*the "cost" is above the capacity of zone "z", 10: only clients with a larger one of their own will ever pass in \S+nginx\.conf:\d+/,
 qr/request rejected by zone "z", client hash [0-9a-f]{16}, next never/]
--- no_error_log
capacity of zone "y"
