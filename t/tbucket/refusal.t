# What a refused client gets: status, body, error pages, the rest of its
# connection.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 155;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: 429 with a JSON body
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z cost=2;
--- request
GET /
--- error_code: 429
--- raw_response_headers_like: ^HTTP/1\.1 429 Too Many Requests\r\n
--- response_headers
Content-Type: application/json
Content-Length: 44
! Retry-After
! Last-Modified
! ETag
! Accept-Ranges
--- response_body chomp
{"code":429,"message":"Rate limit exceeded"}



=== TEST 2: the status may be another one
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
    tbucket_status 503;
--- config
    location /400/ { tbucket_status 400; alias html/; }
    location /599/ { tbucket_status 599; alias html/; }
    location /418/ { tbucket_status 418; alias html/; }
--- request eval
["GET /", "GET /400/", "GET /599/", "GET /418/"]
--- error_code eval
[503, 400, 599, 418]
--- response_body eval
[map { qq({"code":$_,"message":"Rate limit exceeded"}) } 503, 400, 599, 418]



=== TEST 3: 401, 403 and 404 are no exceptions
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    location /401/ { tbucket_status 401; alias html/; }
    location /403/ { tbucket_status 403; alias html/; }
    location /404/ { tbucket_status 404; alias html/; }
--- request eval
["GET /401/", "GET /403/", "GET /404/"]
--- error_code eval
[401, 403, 404]
--- response_body eval
[map { qq({"code":$_,"message":"Rate limit exceeded"}) } 401, 403, 404]



=== TEST 4: HEAD has the headers and no body
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
--- request
HEAD /
--- error_code: 429
--- response_headers
Content-Type: application/json
Content-Length: 44
! Retry-After
--- response_body chomp



=== TEST 5: HTTP/1.0
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
--- raw_request eval
"GET / HTTP/1.0\r\n\r\n"
--- error_code: 429
--- response_headers
Connection: close
--- response_body chomp
{"code":429,"message":"Rate limit exceeded"}



=== TEST 6: conditions and ranges of the request do not matter
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
--- request
GET /
--- more_headers
Range: bytes=0-1
If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT
If-None-Match: *
--- error_code: 429
--- response_body chomp
{"code":429,"message":"Rate limit exceeded"}



=== TEST 7: add_header and types of the location
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    default_type text/css;
    add_header X-Only-Ok 1;
    add_header X-Always 1 always;
--- request
GET /
--- error_code: 429
--- response_headers
Content-Type: application/json
! X-Only-Ok
X-Always: 1



=== TEST 8: the connection goes on after a refusal
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    location /no/ { tbucket zone=z cost=2; }
--- pipelined_requests eval
["GET /no/", "GET /", "GET /no/", "GET /"]
--- error_code eval
[429, 200, 429, 200]



=== TEST 9: error_page wins over the built-in body
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z cost=2;
    error_page 429 /page;
    location = /page { return 200 "$status $tbucket_status $tbucket_zone $tbucket_retry_after"; }
--- request
GET /
--- error_code: 429
--- response_headers
! Retry-After
RateLimit: "z";r=1
Content-Type: text/plain
--- response_body chomp
429 REJECTED z 



=== TEST 10: error_page with a file, which is limited itself
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    error_page 429 /slow.html;
--- user_files
>>> slow.html
slow down
--- request eval
["GET /", "GET /", "GET /slow.html"]
--- error_code eval
[200, 429, 429]
--- response_body_like eval
["works", '^slow down\n$', '^slow down\n$']



=== TEST 11: error_page with another status, one of the page, a location
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    location /a/ { error_page 429 =200 /page; }
    location /b/ { error_page 429 = /page; }
    location /c/ { error_page 429 @named; }
    location /d/ { error_page 429 =503 @named; }
    location /e/ { error_page 429 https://example.com/; }
    location /f/ { error_page 429 =307 https://example.com/; }
    location = /page { return 202 "page"; }
    location @named { return 202 "named"; }
--- request eval
[map { "GET /$_/" } 'a' .. 'f']
--- error_code eval
[200, 202, 429, 503, 302, 307]
--- response_body_like eval
['^page$', '^page$', '^named$', '^named$', '302', '307']
--- response_headers eval
[("RateLimit: \"z\";r=1\n! Retry-After") x 4,
 ("! RateLimit\n! Retry-After") x 2]



=== TEST 12: error_page of another status does not
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    error_page 503 404 /page;
    location = /page { return 200 "page"; }
--- request
GET /
--- error_code: 429
--- response_body chomp
{"code":429,"message":"Rate limit exceeded"}



=== TEST 13: error_page follows tbucket_status
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
    tbucket_status 503;
--- config
    error_page 503 /page;
    location = /page { return 200 "page"; }
--- request
GET /
--- error_code: 503
--- response_body chomp
page



=== TEST 14: an error page that is missing
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    error_page 429 /none;
--- request
GET /
--- error_code: 404
--- response_headers
RateLimit: "z";r=1
--- response_body_like: 404 Not Found



=== TEST 15: a limited error page of an unlimited place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    error_page 404 /page/;
    location /page/ { tbucket zone=z; alias html/; error_page 429 /never; }
--- request eval
["GET /none", "GET /none"]
--- error_code eval
[404, 429]
--- response_headers eval
["RateLimit: \"z\";r=0;t=1", "RateLimit: \"z\";r=0;t=3600"]
--- response_body_like eval
["works", '^\{"code":429,']



=== TEST 16: recursive error pages
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    recursive_error_pages on;
    error_page 404 /page/;
    error_page 429 /slow;
    location /page/ { tbucket zone=z cost=2; alias html/; }
    location = /slow { return 200 "slow"; }
--- request
GET /none
--- error_code: 429
--- response_body chomp
slow



=== TEST 17: a filter of the body sees a whole response
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
    sub_filter_types *;
    sub_filter exceeded reached;
    charset utf-8;
    charset_types *;
--- request
GET /
--- error_code: 429
--- response_headers
Content-Type: application/json; charset=utf-8
--- response_body chomp
{"code":429,"message":"Rate limit reached"}



=== TEST 18: the log line, at warn unless told otherwise, without the key
--- http_config
    tbucket_zone $http_x_api_key zone=z:1m rate=1r/h;
    tbucket zone=z cost=2;
--- config
--- request
GET /
--- more_headers
X-Api-Key: top-secret
--- error_code: 429
--- error_log eval
qr/\[warn\] .*tbucket: request rejected by zone "z", client hash [0-9a-f]{16}/
--- no_error_log
top-secret
[error]
[alert]



=== TEST 19: at another level
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=$arg_c;
--- config
    tbucket_log_level error;
--- request
GET /?c=2
--- error_code: 429
--- error_log eval
qr/\[error\] .*tbucket: request rejected by zone "z"/
--- no_error_log
[warn]



=== TEST 20: at info and notice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
    tbucket zone=z cost=$arg_c;
    tbucket_log_level info;
--- config
    location /n/ { tbucket_log_level notice; }
--- request eval
["GET /?c=2", "GET /n/?c=2"]
--- error_code eval
[429, 429]
--- error_log eval
qr/\[(?:info|notice)\] .*tbucket: request rejected/
--- no_error_log
[warn]
[error]



=== TEST 21: a dry run refuses nobody, takes nothing, and is logged as such
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=3;
--- config
    tbucket zone=z cost=$arg_c;
    tbucket_dry_run on;
    add_header X-Status $tbucket_status;
    location /wet/ { tbucket_dry_run off; tbucket zone=z; alias html/; }
--- request eval
["GET /?c=2", "GET /?c=2", "GET /?c=2", "GET /wet/"]
--- response_headers eval
["X-Status: PASSED", "X-Status: REJECTED_DRY_RUN",
 "X-Status: REJECTED_DRY_RUN",
 "RateLimit: \"z\";r=0;t=1"]
--- grep_error_log eval
qr/\[\w+\] .*tbucket: request rejected \(dry run\) by zone "z"/
--- grep_error_log_out eval
qr/^(?:\[warn\].*\n)*$/



=== TEST 22: a client that may come again is told when
--- http_config
    tbucket_zone all zone=z:1m rate=1r/d;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers eval
["! Retry-After\nRateLimit: \"z\";r=0;t=1",
 "Retry-After: 86400\nRateLimit: \"z\";r=0;t=86400"]



=== TEST 23: as a problem, with the policies that are violated
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h;
    tbucket_zone all zone=b:1m rate=1r/m capacity=9;
    tbucket_zone all zone=c:1m rate=2r/h;
    tbucket_body problem;
--- config
    tbucket zone=a cost=$arg_a;
    tbucket zone=b;
    tbucket zone=c;
    location /json/ { tbucket_body json; alias html/; }
    location /one/ { tbucket zone=a; tbucket_status 503; alias html/; }
--- request eval
["GET /", "GET /", "GET /json/", "GET /one/"]
--- error_code eval
[200, 429, 429, 503]
--- response_headers eval
["", "Content-Type: application/problem+json\nRetry-After: 3600",
 "Content-Type: application/json",
 "Content-Type: application/problem+json"]
--- response_body_like eval
["works", map { quotemeta }
 '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",'
 . '"title":"Rate limit exceeded","status":429,"violated-policies":["a","c"]}',
 '{"code":429,"message":"Rate limit exceeded"}',
 '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",'
 . '"title":"Rate limit exceeded","status":503,"violated-policies":["a"]}']



=== TEST 24: a request of gRPC is refused in its own terms
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    location /never/ { tbucket zone=z cost=2; }
    location /page/ { tbucket zone=z; error_page 429 /slow; }
    location = /slow { return 429 "slow"; }
--- request eval
["GET /", "POST /", "POST /never/", "POST /page/"]
--- more_headers
Content-Type: application/grpc+proto
--- error_code eval
[200, 200, 200, 429]
--- response_headers_like eval
["", "grpc-status: 8\ngrpc-message: Rate limit exceeded
grpc-retry-pushback-ms: 3[56]\\d{5}\nContent-Type: application/grpc\nContent-Length: 0",
"grpc-status: 8\ngrpc-retry-pushback-ms: -1", ""]
--- response_body_like eval
["works", '^$', '^$', "slow"]
