# What limited responses say in their headers.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 1388;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: ietf: the policy and what is left, on admissions and refusals
--- http_config
    tbucket_zone all zone=my.zone-1_x:1m rate=2r/h capacity=3;
--- config
    tbucket zone=my.zone-1_x;
--- request eval
["GET /", "GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers eval
["RateLimit-Policy: \"my.zone-1_x\";q=3;w=5400
RateLimit: \"my.zone-1_x\";r=2;t=3600
! Retry-After
! X-RateLimit-Limit",
"RateLimit: \"my.zone-1_x\";r=1;t=1800
! Retry-After",
"RateLimit: \"my.zone-1_x\";r=0;t=1
! Retry-After",
"RateLimit-Policy: \"my.zone-1_x\";q=3;w=5400
RateLimit: \"my.zone-1_x\";r=0;t=1800
Retry-After: 1800"]



=== TEST 2: the window is rounded up to whole seconds
--- http_config
    tbucket_zone all zone=z:1m rate=3r/s capacity=10;
--- config
    tbucket zone=z;
--- request
GET /
--- response_headers
RateLimit-Policy: "z";q=10;w=4
RateLimit: "z";r=9;t=3



=== TEST 3: legacy
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    tbucket_headers legacy;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-RateLimit-Limit: 2
X-RateLimit-Remaining: 1
X-RateLimit-Reset: 3600
! Retry-After
! RateLimit
! RateLimit-Policy",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: 3600",
"X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0
X-RateLimit-Reset: 3600
Retry-After: 3600
! RateLimit
! RateLimit-Policy"]



=== TEST 4: off leaves a refusal its Retry-After
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    tbucket_headers off;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers eval
["! RateLimit
! RateLimit-Policy
! X-RateLimit-Limit
! X-RateLimit-Remaining
! X-RateLimit-Reset
! Retry-After",
"! RateLimit
! RateLimit-Policy
! X-RateLimit-Limit
! X-RateLimit-Remaining
! X-RateLimit-Reset
Retry-After: 3600"]



=== TEST 5: each header once, spelled as documented
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- raw_response_headers_like eval
[qr/\r\nRateLimit-Policy: "z";q=1;w=3600\r\nRateLimit: "z";r=0;t=1\r\n/,
 qr/\r\nRetry-After: 3600\r\n/]
--- raw_response_headers_unlike eval
[qr/(?:\nRateLimit:.*){2}/s, qr/(?:\nRateLimit:.*){2}/s]



=== TEST 6: by location, as the place says that limited the request
--- http_config
    tbucket_zone $uri zone=z:1m rate=1r/h capacity=5;
    tbucket_headers legacy;
--- config
    tbucket zone=z;
    location /off/ { tbucket_headers off; alias html/; }
    location /ietf/ { tbucket_headers ietf; alias html/; }
    location = /moved { tbucket_headers ietf; try_files /none /off/index.html; }
--- request eval
["GET /", "GET /off/", "GET /ietf/", "GET /moved"]
--- response_headers eval
["X-RateLimit-Limit: 5", "! X-RateLimit-Limit\n! RateLimit",
 "RateLimit-Policy: \"z\";q=5;w=18000\n! X-RateLimit-Limit",
 "! X-RateLimit-Limit"]



=== TEST 7: on 304, 404 and 405 as on every response, but not on redirects
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
    location /dir { alias html; }
--- user_files
>>> f 202001010000.00
file
--- request eval
["GET /f", "GET /none", "POST /f", "GET /dir"]
--- more_headers
If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT
--- error_code eval
[304, 404, 405, 301]
--- response_headers eval
[(map { "RateLimit: \"z\";r=" . (9 - $_) . ';t=' . 3600 * (9 - $_) } 1 .. 3),
 "! RateLimit\n! RateLimit-Policy"]



=== TEST 8: on an error that a filter makes of the response
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
--- request
GET /
--- more_headers
If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT
--- error_code: 412
--- response_headers
RateLimit-Policy: "z";q=9;w=32400
RateLimit: "z";r=8;t=28800



=== TEST 9: on 416 and 206
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- more_headers eval
["Range: bytes=99999-", "Range: bytes=0-3"]
--- error_code eval
[416, 206]
--- response_headers eval
["RateLimit: \"z\";r=8;t=28800", "RateLimit: \"z\";r=7;t=25200"]



=== TEST 10: on what another server answered, and on its failure
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    location = /ok { tbucket zone=z; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/index.html; }
    location = /bad { tbucket zone=z; proxy_pass http://127.0.0.1:1/; }
--- request eval
["GET /ok", "GET /bad"]
--- error_code eval
[200, 502]
--- response_headers eval
["RateLimit: \"z\";r=8;t=28800", "RateLimit: \"z\";r=7;t=25200"]



=== TEST 11: not on requests that were not limited
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    location = /off { tbucket off; alias html/index.html; }
    location = /return { return 204; }
--- request eval
["GET /", "GET /off?key=1", "GET /return?key=1"]
--- error_code eval
[200, 200, 204]
--- response_headers eval
[("! RateLimit\n! RateLimit-Policy\n! Retry-After") x 3]



=== TEST 12: a dry run tells when, but sends no Retry-After
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    tbucket_dry_run on;
--- request eval
["GET /", "GET /"]
--- response_headers eval
["RateLimit: \"z\";r=0;t=1",
 "RateLimit-Policy: \"z\";q=1;w=3600
RateLimit: \"z\";r=0;t=3600
! Retry-After"]



=== TEST 13: a refusal says when the whole cost will be there
--- http_config
    tbucket_zone all zone=z:1m rate=1r/m capacity=10;
--- config
    tbucket zone=z cost=$arg_c;
--- request eval
["GET /?c=8", "GET /?c=7", "GET /?c=2.5", "GET /?c=2"]
--- error_code eval
[200, 429, 429, 200]
--- response_headers eval
["RateLimit: \"z\";r=2;t=120\n! Retry-After",
 "RateLimit: \"z\";r=2;t=300\nRetry-After: 300",
 "RateLimit: \"z\";r=2;t=30\nRetry-After: 30",
 "RateLimit: \"z\";r=0;t=1\n! Retry-After"]



=== TEST 14: what the upstream says of its limits is replaced, in any dialect
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=3;
--- config
    tbucket zone=z;
    location /ietf { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/; }
    location /legacy {
        tbucket_headers legacy;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/;
    }
    location /off {
        tbucket_headers off;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/;
    }
    location /up/ {
        tbucket off;
        add_header RateLimit "up";
        add_header ratelimit-policy "up";
        add_header RateLimit-Limit "up";
        add_header X-Ratelimit-Limit "up";
        add_header X-RateLimit-Used "up";
        add_header X-Rate "up";
        return 200;
    }
--- request eval
["GET /ietf", "GET /legacy", "GET /off"]
--- response_headers eval
["RateLimit: \"z\";r=2;t=7200
RateLimit-Policy: \"z\";q=3;w=10800
! RateLimit-Limit
! X-RateLimit-Limit
! X-RateLimit-Used
X-Rate: up",
"! RateLimit
! RateLimit-Policy
! RateLimit-Limit
X-RateLimit-Limit: 3
! X-RateLimit-Used
X-Rate: up",
"RateLimit: up
X-RateLimit-Limit: up"]



=== TEST 15: one member for each limit, the tightest first
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=9;
    tbucket_zone all zone=b:1m rate=2r/h capacity=2;
    tbucket_zone $arg_c zone=c:1m rate=1r/s capacity=50;
--- config
    tbucket zone=a;
    tbucket zone=b;
    tbucket zone=c;
--- request eval
["GET /", "GET /?c=1", "GET /?c=1"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["RateLimit-Policy: \"b\";q=2;w=3600, \"a\";q=9;w=32400
RateLimit: \"b\";r=1;t=1800, \"a\";r=8;t=28800",
 "RateLimit-Policy: \"b\";q=2;w=3600, \"a\";q=9;w=32400, \"c\";q=50;w=50
RateLimit: \"b\";r=0;t=1, \"a\";r=7;t=25200, \"c\";r=49;t=49",
 "RateLimit: \"b\";r=0;t=1800, \"a\";r=7;t=25200, \"c\";r=49;t=49
Retry-After: 1800"]



=== TEST 16: on a redirect of any kind there are none
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
    location /301 { try_files /none @301; }
    location /308 { try_files /none @308; }
    location @301 { return 301 /; }
    location @308 { return 308 /; }
    location /legacy { tbucket_headers legacy; try_files /none @301; }
--- request eval
["GET /301", "GET /308", "GET /legacy"]
--- error_code eval
[301, 308, 301]
--- response_headers eval
[("! RateLimit\n! RateLimit-Policy\n! X-RateLimit-Limit") x 3]



=== TEST 17: of limits of one's own, which many clients may share
--- http_config
    tbucket_zone $arg_c zone=z:1m rate=1r/s capacity=50;
--- config
    tbucket zone=z;
    location /clients { tbucket off; tbucket_api zone=z write=on; }
--- more_headers
Content-Type: application/json
--- request eval
my $bulk = CORE::join ',', map { qq({"client_id":"$_","capacity":) . (100 + $_)
                           . ',"rate_per_sec":0.01}' } 1 .. 400;
["POST /clients\n[$bulk,{\"client_id\":\"twin\",\"capacity\":101,"
 . '"rate_per_sec":0.01}]',
 (map { "GET /?c=$_" } 1 .. 400), "GET /?c=1", "GET /?c=twin", "GET /?c=x",
 "PATCH /clients/1\n{\"capacity\":7}", "GET /?c=1"]
--- error_code eval
[(200) x 406]
--- response_headers eval
['! RateLimit',
 (map { my $q = 100 + $_; my $r = $q - 1;
        "RateLimit-Policy: \"z\";q=$q;w=${q}00\nRateLimit: \"z\";r=$r;t=${r}00" }
  1 .. 400),
 "RateLimit-Policy: \"z\";q=101;w=10100\nRateLimit: \"z\";r=99;t=9900",
 "RateLimit-Policy: \"z\";q=101;w=10100\nRateLimit: \"z\";r=100;t=10000",
 "RateLimit-Policy: \"z\";q=50;w=50\nRateLimit: \"z\";r=49;t=49",
 '! RateLimit', "RateLimit-Policy: \"z\";q=7;w=700\nRateLimit: \"z\";r=6;t=600"]



=== TEST 18: whatever the length of the zone's name, and of the time
--- http_config
    tbucket_zone all zone=abcdefghijklmnopqrstuvwxyz1:1m rate=1r/d capacity=1000000;
    tbucket_zone all zone=abcdefghijklmnopqrstuvwxyz12:1m rate=1r/d capacity=1000000;
    tbucket_zone all zone=abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz:1m
                 rate=1000r/h capacity=1000000000 unit=1000;
--- config
    location /27 { tbucket zone=abcdefghijklmnopqrstuvwxyz1; }
    location /28 { tbucket zone=abcdefghijklmnopqrstuvwxyz12; }
    location /53 {
        tbucket zone=abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz;
    }
--- request eval
["GET /27", "GET /28", "GET /53"]
--- error_code eval
[(404) x 3]
--- response_headers eval
[(map { "RateLimit-Policy: \"$_\";q=1000000;w=86400000000\n"
        . "RateLimit: \"$_\";r=999999;t=86399913600" }
  'abcdefghijklmnopqrstuvwxyz1', 'abcdefghijklmnopqrstuvwxyz12'),
 "RateLimit-Policy: \"abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz\""
 . ";q=1000000000;w=3600000000\n"
 . "RateLimit: \"abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz\""
 . ";r=999999999;t=3599999997"]



=== TEST 19: an upstream's own limits are dropped from redirects, too
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=3;
--- config
    tbucket zone=z;
    location /to { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/; }
    location /off {
        tbucket_headers off;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/up/;
    }
    location /up/ {
        tbucket off;
        add_header RateLimit "up";
        add_header X-RateLimit-Limit "up";
        return 302 /there;
    }
--- request eval
["GET /to", "GET /off"]
--- error_code eval
[302, 302]
--- response_headers eval
["! RateLimit
! X-RateLimit-Limit",
 "RateLimit: up"]



=== TEST 20: a page from an upstream does not say when to come again
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    location /one {
        tbucket zone=z;
        error_page 429 @page;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/again;
    }
    location @page {
        rewrite ^ /again break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
    location /again {
        add_header Retry-After 77 always;
        return 200;
    }
--- request eval
["GET /one", "GET /one"]
--- error_code eval
[200, 429]
--- response_headers eval
["Retry-After: 77",
 "Retry-After: 3600"]
