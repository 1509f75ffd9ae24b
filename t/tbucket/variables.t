# The variables, in headers, logs, conditions and subrequests.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 38;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: of an admission and of a refusal
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=2;
--- config
    tbucket zone=z;
    add_header X-V "$tbucket_status|$tbucket_zone|$tbucket_client|$tbucket_limit|$tbucket_remaining|$tbucket_reset|$tbucket_retry_after" always;
--- request eval
["GET /?key=k", "GET /?key=k", "GET /?key=k"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-V: PASSED|z|k|2|1|3600|", "X-V: PASSED|z|k|2|0|3600|",
 "X-V: REJECTED|z|k|2|0|3600|3600"]



=== TEST 2: of a dry run
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z cost=2;
    tbucket_dry_run on;
    add_header X-V "$tbucket_status|$tbucket_zone|$tbucket_client|$tbucket_limit|$tbucket_remaining";
--- request
GET /?key=k
--- response_headers
X-V: REJECTED_DRY_RUN|z|k|1|1



=== TEST 3: empty when not limited
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=1;
--- config
    tbucket zone=z;
    add_header X-V "[$tbucket_status$tbucket_zone$tbucket_client$tbucket_client_hash$tbucket_limit$tbucket_remaining$tbucket_reset$tbucket_retry_after]";
    location = /off { tbucket off; alias html/index.html; }
--- request eval
["GET /", "GET /off?key=1"]
--- response_headers eval
["X-V: []", "X-V: []"]



=== TEST 4: the hash is 16 hex digits, the same for the same client
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=9;
    log_format h "hash=$tbucket_client_hash status=$tbucket_status";
--- config
    tbucket zone=z;
    access_log logs/access.log h;
    add_header X-V $tbucket_client_hash;
--- request
GET /?key=top-secret
--- response_headers_like
X-V: [0-9a-f]{16}
--- access_log eval
qr/^hash=[0-9a-f]{16} status=PASSED$/
--- no_access_log
top-secret



=== TEST 5: in the log of a refusal
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/d capacity=9;
    log_format t "$status $tbucket_status $tbucket_zone $tbucket_retry_after";
--- config
    tbucket zone=z cost=9;
    add_header X-Retry "$tbucket_retry_after" always;
    access_log logs/access.log t;
--- request eval
["GET /?key=k", "GET /?key=k"]
--- error_code eval
[200, 429]
--- response_headers eval
["! X-Retry", "X-Retry: 777600"]
--- access_log eval
qr/^(?:200 PASSED z -|429 REJECTED z 777600)$/



=== TEST 6: a log may have refusals only: a refusal
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
    map $tbucket_status $refused { default 0; REJECTED 1; }
    log_format t "refused $arg_key";
--- config
    tbucket zone=z cost=2;
    access_log logs/access.log t if=$refused;
--- request
GET /?key=a
--- error_code: 429
--- access_log
refused a



=== TEST 7: a log may have refusals only: an admission
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
    map $tbucket_status $refused { default 0; REJECTED 1; }
    log_format t "refused $arg_key";
--- config
    tbucket zone=z;
    access_log logs/access.log t if=$refused;
--- request
GET /?key=a
--- no_access_log
refused



=== TEST 8: read before the check, they are read again after it
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
--- config
    tbucket zone=z;
    set $before "$tbucket_status$tbucket_remaining";
    add_header X-V "[$before] $tbucket_status $tbucket_remaining";
--- user_files
>>> f
file
--- request
GET /f?key=k
--- response_headers
X-V: [] PASSED 0



=== TEST 9: after an internal redirect, and in a named location
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=5;
--- config
    tbucket zone=z;
    location /a { try_files /none @n; }
    location /b { error_page 404 /n; root none; }
    location @n { return 200 "$tbucket_status $tbucket_zone $tbucket_client $tbucket_remaining"; }
    location /n { return 200 "$tbucket_status $tbucket_zone $tbucket_client $tbucket_remaining"; }
--- request eval
["GET /a?key=k", "GET /b?key=k"]
--- error_code eval
[200, 404]
--- response_body eval
["PASSED z k 4", "PASSED z k 3"]



=== TEST 10: sent to the server behind
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/h capacity=5;
--- config
    location = /a { tbucket zone=z; proxy_set_header X-Left $tbucket_remaining; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/b; }
    location = /b { return 200 "left $http_x_left"; }
--- request
GET /a?key=k
--- response_body chomp
left 4



=== TEST 11: of the main request in a subrequest
--- http_config
    tbucket_zone all zone=z:1m rate=1r/h capacity=5;
--- config
    tbucket zone=z;
    location = /p.html { ssi on; root html; }
    location = /sub { return 200 "$tbucket_status $tbucket_remaining"; }
--- user_files
>>> p.html
<!--# include virtual="/sub" -->
--- request
GET /p.html
--- response_body
PASSED 4



=== TEST 12: tbucket_addr stands without any limit
--- config
    location = /t { return 200 "$tbucket_addr"; }
--- request
GET /t
--- response_body chomp
127.0.0.1
