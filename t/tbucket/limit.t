# How much one client is admitted: capacity, rate, cost.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 136;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: a new bucket is full, and an empty one refuses
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m capacity=3;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=a", "GET /?key=a", "GET /?key=a", "GET /?key=a"]
--- error_code eval
[200, 200, 200, 429]



=== TEST 2: clients have buckets of their own
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=a", "GET /?key=b", "GET /?key=a", "GET /?key=b", "GET /?key=c"]
--- error_code eval
[200, 200, 429, 429, 200]



=== TEST 3: without capacity= it is the tokens of one second
--- http_config
    tbucket_zone all zone=z:1m rate=7r/s;
--- config
    tbucket_headers legacy;
    tbucket zone=z;
--- request
GET /
--- response_headers
X-RateLimit-Limit: 7
X-RateLimit-Remaining: 6



=== TEST 4: of one second, whatever unit the rate is in
--- http_config
    tbucket_zone all zone=z:1m rate=150r/m;
--- config
    tbucket_headers legacy;
    tbucket zone=z;
--- request
GET /
--- response_headers
X-RateLimit-Limit: 2



=== TEST 5: and at least 1
--- http_config
    tbucket_zone all zone=z:1m rate=0.5r/s;
--- config
    tbucket_headers legacy;
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers eval
["X-RateLimit-Limit: 1", "Retry-After: 2"]



=== TEST 6: a rate per hour
--- http_config
    tbucket_zone all zone=z:1m rate=1000r/h;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers eval
["RateLimit-Policy: \"z\";q=1;w=4", "Retry-After: 4"]



=== TEST 7: a rate per day
--- http_config
    tbucket_zone all zone=z:1m rate=1r/d;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers eval
["RateLimit-Policy: \"z\";q=1;w=86400", "Retry-After: 86400"]



=== TEST 8: the highest rate and capacity
--- http_config
    tbucket_zone all zone=z:1m rate=1000000r/s capacity=1000000;
--- config
    tbucket zone=z;
--- request
GET /
--- response_headers
RateLimit-Policy: "z";q=1000000;w=1
RateLimit: "z";r=999999;t=1



=== TEST 9: parameters come in any order
--- http_config
    tbucket_zone all scope=node capacity=2 rate=1r/m zone=z:1m;
--- config
    tbucket cost=2 zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]



=== TEST 10: the bucket refills with time
--- http_config
    tbucket_zone all zone=z:1m rate=20r/s capacity=1;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 200]
--- wait: 0.06



=== TEST 11: a cost takes so many tokens
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=10;
--- config
    tbucket zone=z cost=4;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["RateLimit: \"z\";r=6;t=21600", "RateLimit: \"z\";r=2;t=7200",
 "RateLimit: \"z\";r=2;t=7200\nRetry-After: 7200"]



=== TEST 12: a cost below 1
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z cost=0.4;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["RateLimit: \"z\";r=0;t=1", "RateLimit: \"z\";r=0;t=1",
 "RateLimit: \"z\";r=0;t=720\nRetry-After: 720"]



=== TEST 13: the smallest cost, 1000 times a token
--- http_config
    tbucket_zone all zone=z:1m rate=1r/d capacity=1;
--- config
    tbucket zone=z cost=0.999;
    location /b/ { tbucket zone=z cost=0.001; alias html/; }
--- request eval
["GET /", "GET /b/", "GET /b/"]
--- error_code eval
[200, 200, 429]



=== TEST 14: cost 0 is free, with an empty bucket too
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z cost=$arg_cost;
--- request eval
["GET /?cost=0", "GET /?cost=1", "GET /?cost=0", "GET /?cost=0.0",
 "GET /?cost=1"]
--- error_code eval
[200, 200, 200, 200, 429]
--- response_headers eval
["RateLimit: \"z\";r=1;t=3600", "RateLimit: \"z\";r=0;t=1",
 "RateLimit: \"z\";r=0;t=1", "RateLimit: \"z\";r=0;t=1",
 "RateLimit: \"z\";r=0;t=3600"]



=== TEST 15: an invalid cost counts 1
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=100;
--- config
    tbucket zone=z cost=$arg_cost;
--- request eval
["GET /", "GET /?cost=x", "GET /?cost=-1", "GET /?cost=1e1",
 "GET /?cost=0.0001", "GET /?cost=1000001x", "GET /?cost=2.", "GET /?cost=.5",
 "GET /?cost=0x10", "GET /?cost=-9999999999999999999999", "GET /?cost=nan",
 "GET /?cost=+2", "GET /?cost=2,5", "GET /?cost=%202"]
--- error_code eval
[(200) x 14]
--- response_headers eval
[map { "RateLimit: \"z\";r=$_;t=" . 3600 * $_ } reverse 86 .. 99]



=== TEST 16: a cost of several variables
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=100;
--- config
    tbucket zone=z cost=$arg_a.${arg_b}5;
--- request
GET /?a=1&b=2
--- response_headers
RateLimit: "z";r=98;t=352800



=== TEST 17: a cost above the capacity is never admitted
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=10;
--- config
    tbucket zone=z cost=$arg_cost;
--- request eval
["GET /?cost=11", "GET /?cost=10.001", "GET /?cost=10", "GET /?cost=11"]
--- error_code eval
[429, 429, 200, 429]
--- response_headers eval
["RateLimit: \"z\";r=10\n! Retry-After",
 "RateLimit: \"z\";r=10\n! Retry-After",
 "RateLimit: \"z\";r=0;t=1",
 "RateLimit: \"z\";r=0\n! Retry-After"]



=== TEST 18: a cost above the range is the end of it
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/d capacity=1000000;
--- config
    tbucket zone=z cost=$arg_cost;
--- request eval
["GET /?key=a&cost=1000000", "GET /?key=b&cost=1000001",
 "GET /?key=c&cost=1000000.0000001", "GET /?key=d&cost=12345678901234567890",
 "GET /?key=e&cost=99999999999999999999999", "GET /?key=d&cost=1"]
--- error_code eval
[(200) x 5, 429]
--- response_headers_like eval
[("RateLimit: \"z\";r=0;t=\\d+") x 6]



=== TEST 19: what never passes has no time in other headers and variables
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=10;
    tbucket_headers legacy;
--- config
    error_page 429 /none;
    location = /none { return 429 "[$tbucket_reset|$tbucket_retry_after]"; }
    tbucket zone=z cost=$arg_cost;
--- request eval
["GET /?cost=11", "GET /?cost=10", "GET /?cost=10"]
--- error_code eval
[429, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 10\n! X-RateLimit-Reset\n! Retry-After",
 "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 3600",
 "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 36000\nRetry-After: 36000"]
--- response_body_like eval
["\\[\\|\\]", "", "\\[36000\\|36000\\]"]



=== TEST 20: of several limits one that never passes is the longest
--- http_config
    tbucket_zone all zone=never:1m rate=1r/h capacity=10;
    tbucket_zone all zone=late:1m rate=1r/d capacity=20;
--- config
    tbucket zone=late cost=$arg_late;
    tbucket zone=never cost=$arg_cost;
--- request eval
["GET /?cost=1&late=20", "GET /?cost=11&late=20", "GET /?cost=1&late=20"]
--- error_code eval
[200, 429, 429]
--- response_headers eval
["RateLimit: \"late\";r=0;t=1, \"never\";r=9;t=32400",
 "RateLimit: \"never\";r=9, \"late\";r=0;t=1728000\n! Retry-After",
 "RateLimit: \"late\";r=0;t=1728000, \"never\";r=9;t=32400\nRetry-After: 1728000"]
