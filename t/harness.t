# The suite's own tool: every section that our suites use does what it does in
# the real Test::Nginx.

use Test::Nginx::Socket;

repeat_each(2);

plan tests => repeat_each() * 47;

no_long_string();
log_level('info');

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('request', 'GET /set') if defined $block->preset;
});

run_tests();

__DATA__

=== TEST 1: a request without a verdict expects 200
--- config
    location = /t { return 200 "port $server_port\n"; }
--- request
GET /t
--- response_body
port $ServerPort



=== TEST 2: the body of a POST is trimmed and its length sent
--- config
    location = /t { return 201 "$request_method $http_content_length $http_host"; }
--- request
POST /t
{"a":1}
--- error_code: 201
--- response_body chomp
POST 7 localhost



=== TEST 3: a HEAD has headers and no body
--- config
    location = /t { return 200 "not seen"; }
--- request
HEAD /t
--- response_headers
Content-Length: 8
--- response_body chomp




=== TEST 4: more_headers are sent, a repeated header is joined
--- config
    location = /t {
        add_header X-Twice one;
        add_header X-Twice two;
        add_header X-Got "$http_x_a/$http_x_b";
        return 204;
    }
--- more_headers
X-A: 1
X-B: 2
--- request
    GET /t
--- error_code: 204
--- response_headers
X-Twice: one, two
X-Got: 1/2
! X-None



=== TEST 5: several requests have arrays of verdicts
--- config
    location = /a { return 200 "a"; }
    location = /b { return 404 "b"; }
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[200, 404]
--- response_body eval
["a", "b"]



=== TEST 6: pipelined requests share a connection
--- config
    location = /t { return 200 "$arg_n $connection_requests\n"; }
--- pipelined_requests eval
["GET /t?n=1", "GET /t?n=2"]
--- more_headers eval
["X-A: 1", "X-A: 2"]
--- response_body eval
["1 1\n", "2 2\n"]



=== TEST 7: patterns of bodies and headers
--- config
    location = /t { add_header X-N 42; return 200 "abc def"; }
--- request
GET /t
--- response_headers_like
X-N: \d+
--- raw_response_headers_like chomp
X-N: 42
--- raw_response_headers_unlike chomp
X-M
--- response_body_like chomp
^abc



=== TEST 8: a body that must not match
--- config
    location = /t { return 200 "abc"; }
--- request
GET /t
--- response_body_unlike chomp
xyz



=== TEST 9: main_config, http_config, user_files and the port
--- main_config
    worker_shutdown_timeout 1h;
--- http_config
    map $uri $mapped { default "m"; }
--- config
    location = /f { root $TEST_NGINX_SERVER_ROOT/html; }
    location = /t { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/f?$mapped; }
--- user_files
>>> f
from a file
--- request
GET /t
--- response_body
from a file



=== TEST 10: lines that the error log has and has not
--- config
    location = /t { root /nonexistent; }
--- request
GET /t
--- error_code: 404
--- error_log
open() "/nonexistent/t" failed
--- no_error_log
[alert]
[crit]
--- grep_error_log eval
qr/No such file or directory/
--- grep_error_log_out
No such file or directory



=== TEST 11: a configuration that must be refused
--- config
    no_such_directive on;
--- must_die
--- error_log
[emerg]
unknown directive "no_such_directive"
--- suppress_stderr



=== TEST 12: a raw request in packets
--- config
    location = /t { return 200 "raw"; }
--- raw_request eval
["GET /t HTT", "P/1.0\r\n\r\n"]
--- raw_request_middle_delay: 0.01
--- response_body chomp
raw



=== TEST 13: a response that is not looked at
--- config
    location = /t { return 444; }
--- request
GET /t
--- ignore_response
--- access_log
GET /t HTTP/1.1" 444



=== TEST 14: a chunked response is put together
--- config
    location = /t {
        proxy_http_version 1.1;
        proxy_buffering off;
        chunked_transfer_encoding on;
        add_header X-Any yes;
        ssi on;
        ssi_types *;
        root $TEST_NGINX_SERVER_ROOT/html;
    }
--- user_files
>>> t
one<!--# set var="a" value="b" --> two <!--# echo var="a" -->
--- request
GET /t
--- response_headers
Transfer-Encoding: chunked
--- response_body
one two b



=== TEST 15: a preprocessor may fill in sections
--- preset
--- config
    location = /set { return 200 "set"; }
--- response_body chomp
set
--- no_error_log
[error]
[alert]
[emerg]



=== TEST 16: blocks for another nginx are skipped
--- skip_nginx
1: > 0.1.0
--- config
    no_such_directive on;
--- request
GET /t
