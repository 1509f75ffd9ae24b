# When a request is checked: once, before nginx's own access modules, and
# what they say changes nothing of a refusal.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 87;

no_long_string();
log_level('info');

# Seconds until something: a machine under load may take some of them between
# the requests of a block.

sub t { my ($n) = @_; return '(?:' . join('|', $n - 60 .. $n) . ')' }

run_tests();

__DATA__

=== TEST 1: an index is not charged again
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=3;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /", "GET /", "GET /"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers_like eval
["RateLimit: \"z\";r=2;t=" . ::t(7200), "RateLimit: \"z\";r=1;t=" . ::t(3600),
 "RateLimit: \"z\";r=0;t=1", "RateLimit: \"z\";r=0;t=" . ::t(3600)]



=== TEST 2: nor what try_files, error_page and a named location lead to
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
    location /a { try_files /none /index.html; }
    location /b { try_files /none @b; }
    location @b { root html; rewrite ^ /index.html break; }
    location /c { error_page 404 /index.html; root none; }
    location /d { rewrite ^ /index.html last; }
--- request eval
["GET /a", "GET /b", "GET /c", "GET /d"]
--- error_code eval
[200, 200, 404, 200]
--- response_headers_like eval
[map { "RateLimit: \"z\";r=$_;t=" . ::t(3600 * $_) } 8, 7, 6, 5]



=== TEST 3: nor X-Accel-Redirect
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
    location = /a { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/accel; }
    location = /accel { tbucket off; add_header X-Accel-Redirect /index.html; return 200; }
--- request eval
["GET /a", "GET /a"]
--- response_headers_like eval
[map { "RateLimit: \"z\";r=$_;t=" . ::t(3600 * $_) } 8, 7]
--- response_body_like eval
["works", "works"]



=== TEST 4: what the place it leads to is limited by does not count
--- http_config
    tbucket_zone all zone=a:1m rate=1r/h capacity=2;
    tbucket_zone all zone=b:1m rate=1r/h capacity=9;
--- config
    location /a { tbucket zone=a; try_files /none /b/; }
    location /b/ { tbucket zone=b; alias html/; }
--- request eval
["GET /a", "GET /a", "GET /a", "GET /b/"]
--- error_code eval
[200, 200, 429, 200]
--- response_headers_like eval
["RateLimit: \"a\";r=1;t=" . ::t(3600), "RateLimit: \"a\";r=0;t=1",
 "RateLimit: \"a\";r=0;t=" . ::t(3600), "RateLimit: \"b\";r=8;t=" . ::t(28800)]



=== TEST 5: a place without limits may lead to one with
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    location /a { try_files /none /b/; }
    location /b/ { tbucket zone=z; alias html/; }
--- request eval
["GET /a", "GET /a"]
--- error_code eval
[200, 429]



=== TEST 6: subrequests are free: ssi
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    location = /page.html { ssi on; root html; }
--- user_files
>>> page.html
<!--# include virtual="/part.html" --><!--# include virtual="/part.html" --><!--# echo var="tbucket_status" -->
>>> part.html
part
--- request eval
["GET /page.html", "GET /part.html", "GET /page.html"]
--- error_code eval
[200, 200, 429]
--- response_body_like eval
["^part\npart\nPASSED\n\$", "^part\n\$", "429"]



=== TEST 7: subrequests are free: auth_request, which comes after the check
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    location /a/ { auth_request /auth; alias html/; }
    location = /auth { return 204; }
    location /b/ { auth_request /deny; alias html/; }
    location = /deny { return 403; }
--- request eval
["GET /a/", "GET /b/", "GET /b/"]
--- error_code eval
[200, 403, 429]



=== TEST 8: subrequests are free: mirror, addition
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=3;
--- config
    tbucket zone=z;
    location /m/ { mirror /mirrored/; alias html/; }
    location /mirrored/ { alias html/; }
    location /add/ { add_after_body /f.txt; addition_types *; alias html/; }
--- user_files
>>> f.txt
added
--- request eval
["GET /m/", "GET /add/", "GET /"]
--- response_headers_like eval
["RateLimit: \"z\";r=2;t=" . ::t(7200), "RateLimit: \"z\";r=1;t=" . ::t(3600),
 "RateLimit: \"z\";r=0;t=1"]



=== TEST 9: return in the rewrite phase answers before the check
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z;
    location = /r { return 200 "r"; }
--- request eval
["GET /r", "GET /r", "GET /", "GET /", "GET /r"]
--- error_code eval
[200, 200, 200, 429, 200]



=== TEST 10: before allow and deny: a denied request is charged
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    deny all;
--- request eval
["GET /", "GET /", "GET /"]
--- error_code eval
[403, 403, 429]



=== TEST 11: before auth_basic: guesses of passwords are limited
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    auth_basic "area";
    auth_basic_user_file $TEST_NGINX_SERVER_ROOT/html/users;
--- user_files
>>> users
a:{PLAIN}b
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["", "Authorization: Basic YTpi", "Authorization: Basic YTpi"]
--- error_code eval
[401, 200, 429]



=== TEST 12: satisfy any: an admission grants nothing
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=9;
--- config
    tbucket zone=z;
    satisfy any;
    deny all;
    auth_basic "area";
    auth_basic_user_file $TEST_NGINX_SERVER_ROOT/html/users;
--- user_files
>>> users
a:{PLAIN}b
--- request eval
["GET /", "GET /"]
--- more_headers eval
["", "Authorization: Basic YTpi"]
--- error_code eval
[401, 200]



=== TEST 13: satisfy any: a refusal stands, whoever would allow it
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
    tbucket zone=z;
--- config
    satisfy any;
    allow all;
    location /401/ { tbucket_status 401; alias html/; }
    location /403/ { tbucket_status 403; alias html/; }
--- request eval
["GET /", "GET /", "GET /401/", "GET /403/"]
--- error_code eval
[200, 429, 401, 403]
--- response_body_like eval
["works", "^.\"code\":429", "^.\"code\":401", "^.\"code\":403"]



=== TEST 14: satisfy any with deny alone
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z;
    satisfy any;
    deny all;
--- request eval
["GET /", "GET /"]
--- error_code eval
[403, 429]



=== TEST 15: satisfy all
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z;
    satisfy all;
    allow all;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]



=== TEST 16: the limits of a location hold in its if and limit_except blocks
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    location /x/ {
        alias html/;
        if ($arg_x) { set $y 1; }
        limit_except GET { deny all; }
    }
--- request eval
["GET /x/?x=1", "POST /x/", "GET /x/", "GET /x/?x=1", "POST /x/"]
--- error_code eval
[200, 403, 429, 429, 429]



=== TEST 17: a location within a location inherits
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
    tbucket_status 503;
--- config
    location /a/ { tbucket zone=z; alias html/; location /a/b/ { alias html/; } }
--- request eval
["GET /a/", "GET /a/b/", "GET /a/b/", "GET /"]
--- error_code eval
[200, 200, 503, 200]



=== TEST 18: a request body is there after an admission
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
--- config
    location = /a { tbucket zone=z; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/b; }
    location = /b { return 200 "$http_content_length"; }
--- request
POST /a
hello
--- response_body chomp
5



=== TEST 19: limit_req and limit_conn go on as before
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=2;
    limit_req_zone $server_name zone=r:1m rate=1r/m;
--- config
    tbucket zone=z;
    limit_req zone=r;
--- request eval
["GET /none", "GET /none"]
--- error_code eval
[404, 503]
--- response_headers eval
["RateLimit: \"z\";r=1;t=3600", "! RateLimit"]
