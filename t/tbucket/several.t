# Several limits in one place: all admit, or none is charged.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 104;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: the smaller bucket decides, and is the one reported
--- http_config
    tbucket_zone all zone=big:1m rate=1r/h capacity=10;
    tbucket_zone all zone=small:1m rate=2r/h capacity=2;
--- config
    tbucket zone=big;
    tbucket zone=small;
    add_header X-Zone $tbucket_zone always;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-Zone: small\nRateLimit-Policy: \"small\";q=2;w=3600, \"big\";q=10;w=36000\nRateLimit: \"small\";r=1;t=1800, \"big\";r=9;t=32400",
 "X-Zone: small\nRateLimit: \"small\";r=0;t=1, \"big\";r=8;t=28800",
 "X-Zone: small\nRateLimit: \"small\";r=0;t=1800, \"big\";r=8;t=28800\nRetry-After: 1800"]



=== TEST 2: whatever the order of the lines
--- http_config
    tbucket_zone all zone=big:1m rate=1r/h capacity=10;
    tbucket_zone all zone=small:1m rate=2r/h capacity=2;
--- config
    tbucket zone=small;
    tbucket zone=big;
    add_header X-Zone $tbucket_zone always;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-Zone: small", "X-Zone: small", "X-Zone: small\nRetry-After: 1800"]



=== TEST 3: a refusal by one charges none of the others
--- http_config
    tbucket_zone $arg_a zone=a:1m rate=1r/h capacity=5;
    tbucket_zone $arg_b zone=b:1m rate=1r/h capacity=1;
--- config
    tbucket zone=a;
    tbucket zone=b;
--- request eval
["GET /?a=1&b=1", ("GET /?a=1&b=1") x 5, "GET /?a=1", "GET /?a=1&b=2",
 "GET /?a=2&b=1"]
--- error_code eval
[200, (429) x 5, 200, 200, 429]
--- response_headers eval
["RateLimit: \"b\";r=0;t=1, \"a\";r=4;t=14400",
 ("RateLimit: \"b\";r=0;t=3600, \"a\";r=4;t=14400") x 5,
 "RateLimit: \"a\";r=3;t=10800",
 "RateLimit: \"b\";r=0;t=1, \"a\";r=2;t=7200",
 "RateLimit: \"b\";r=0;t=3600, \"a\";r=5;t=18000"]



=== TEST 4: nor the first when the last refuses, nor the other way round
--- http_config
    tbucket_zone $arg_a zone=a:1m rate=1r/h capacity=2;
    tbucket_zone $arg_b zone=b:1m rate=1r/h capacity=2;
    tbucket_zone $arg_c zone=c:1m rate=1r/h capacity=2;
--- config
    tbucket zone=a;
    tbucket zone=b;
    tbucket zone=c;
--- request eval
["GET /?c=1", "GET /?c=1", "GET /?a=1&b=1&c=1", "GET /?a=1&b=1",
 "GET /?a=1&b=1&c=2", "GET /?a=1", "GET /?b=1", "GET /?c=2"]
--- error_code eval
[200, 200, 429, 200, 200, 429, 429, 200]



=== TEST 5: the refusal that lasts longest is reported
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=1;
    tbucket_zone all zone=b:1m rate=1r/d capacity=1;
    tbucket_zone all zone=c:1m rate=1r/m capacity=1;
--- config
    tbucket zone=a;
    tbucket zone=b;
    tbucket zone=c;
    add_header X-Zone $tbucket_zone always;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]
--- response_headers_like eval
["X-Zone: .", "X-Zone: b\nRetry-After: 86400\nRateLimit: \"b\";r=0;t=86400, \"a\";r=0;t=3600, \"c\";r=0;t=60"]



=== TEST 6: each with its own cost; what counts is how many more may come
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=100;
    tbucket_zone all zone=b:1m rate=1r/h capacity=5;
--- config
    tbucket zone=a cost=40;
    tbucket zone=b;
    add_header X-Zone $tbucket_zone always;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-Zone: a\nRateLimit: \"a\";r=60;t=216000, \"b\";r=4;t=14400",
 "X-Zone: a\nRateLimit: \"a\";r=20;t=72000, \"b\";r=3;t=10800",
 "X-Zone: a\nRateLimit: \"a\";r=20;t=72000, \"b\";r=3;t=10800\nRetry-After: 72000"]



=== TEST 7: those with an empty key are left out
--- http_config
    tbucket_zone $arg_a zone=a:1m rate=1r/h capacity=1;
    tbucket_zone $arg_b zone=b:1m rate=1r/h capacity=2;
--- config
    tbucket zone=a;
    tbucket zone=b;
    add_header X-Status "$tbucket_status $tbucket_zone" always;
--- request eval
["GET /", "GET /?b=1", "GET /?a=1", "GET /?a=1"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers eval
["! RateLimit", "X-Status: PASSED b", "X-Status: PASSED a",
 "X-Status: REJECTED a"]



=== TEST 8: lines of an inner level replace those of the outer
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=1;
    tbucket_zone all zone=b:1m rate=1r/h capacity=2;
    tbucket_zone all zone=c:1m rate=1r/h capacity=3;
    tbucket zone=a;
    tbucket zone=b;
--- config
    location /c/ { tbucket zone=c; alias html/; }
    location /off/ { tbucket off; alias html/; location /off/a/ { tbucket zone=a; alias html/; } }
--- request eval
["GET /", "GET /c/", "GET /off/", "GET /", "GET /off/a/", "GET /c/"]
--- error_code eval
[200, 200, 200, 429, 429, 200]
--- response_headers eval
["RateLimit: \"a\";r=0;t=1, \"b\";r=1;t=3600", "RateLimit: \"c\";r=2;t=7200",
 "! RateLimit", "RateLimit: \"a\";r=0;t=3600, \"b\";r=1;t=3600", "RateLimit: \"a\";r=0;t=3600",
 "RateLimit: \"c\";r=1;t=3600"]



=== TEST 9: a dry run of several charges none of them on a refusal
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=3;
    tbucket_zone all zone=b:1m rate=1r/h capacity=1;
--- config
    location /dry/ { tbucket zone=a; tbucket zone=b; tbucket_dry_run on; alias html/; add_header X-Status $tbucket_status; }
    location /a/ { tbucket zone=a; alias html/; }
--- request eval
["GET /dry/", "GET /dry/", "GET /dry/", "GET /a/", "GET /a/", "GET /a/"]
--- error_code eval
[200, 200, 200, 200, 200, 429]
--- response_headers eval
["X-Status: PASSED", "X-Status: REJECTED_DRY_RUN",
 "X-Status: REJECTED_DRY_RUN", "! X-Status", "! X-Status", "! X-Status"]



=== TEST 10: of zones with one key, one charges it and the other its fallback
--- http_config
    tbucket_zone $arg_k fallback=$arg_f zone=f:1m rate=1r/h capacity=2;
    tbucket_zone $arg_k zone=k:1m rate=1r/h capacity=5;
--- config
    location /f/ {
        tbucket zone=f;
        tbucket zone=k;
        alias html/;
    }
    location /k/ {
        tbucket zone=k;
        tbucket zone=f;
        alias html/;
    }
--- request eval
["GET /f/?k=1&f=x", "GET /k/?k=2&f=x", "GET /f/?k=3&f=x", "GET /k/?k=1&f=y",
 "GET /f/?k=1&f=y", "GET /k/?k=3&f=z"]
--- error_code eval
[200, 200, 429, 200, 200, 200]
--- response_headers eval
["RateLimit: \"f\";r=1;t=3600, \"k\";r=4;t=14400",
 "RateLimit: \"f\";r=0;t=1, \"k\";r=4;t=14400",
 "Retry-After: 3600",
 "RateLimit: \"f\";r=1;t=3600, \"k\";r=3;t=10800",
 "RateLimit: \"f\";r=0;t=1, \"k\";r=2;t=7200",
 "RateLimit: \"f\";r=1;t=3600, \"k\";r=4;t=14400"]
