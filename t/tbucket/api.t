# The clients API: what each request answers, and every error as JSON.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 369;

no_long_string();
log_level('info');

our $user1 = '{"client_id":"user1","capacity":100,"rate_per_sec":10}';

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config =>
                      'tbucket_zone $arg_key zone=z:64k rate=1r/h capacity=3;')
        unless defined $block->http_config;

    $block->set_value(config => <<'END') unless defined $block->config;
        location /clients { tbucket_api zone=z write=on; }
        location /limited { tbucket zone=z; empty_gif; }
END

    $block->set_value(more_headers => 'Content-Type: application/json')
        unless defined $block->more_headers;
});

run_tests();

__DATA__

=== TEST 1: a client is created, shown, not created again, removed
--- request eval
["POST /clients\n$::user1", "GET /clients/user1", "POST /clients\n$::user1",
 "DELETE /clients/user1", "DELETE /clients/user1", "GET /clients/user1"]
--- error_code eval
[201, 200, 409, 204, 404, 404]
--- response_body eval
[map { $_ eq '' ? '' : "$_\n" }
 '{"client_id":"user1","capacity":100,"rate_per_sec":10,"tokens":100,'
 . '"registered":true}',
 '{"client_id":"user1","capacity":100,"rate_per_sec":10,"tokens":100,'
 . '"registered":true}',
 '{"code":409,"message":"client_id \"user1\" is registered already"}',
 '',
 '{"code":404,"message":"client_id \"user1\" is not registered"}',
 '{"code":404,"message":"client_id \"user1\" is not registered and has no '
 . 'bucket"}']



=== TEST 2: the answer to a new client says where it is, and is not cached
--- request eval
"POST /clients\n$::user1"
--- error_code: 201
--- response_headers
Location: /clients/user1
Content-Type: application/json
Cache-Control: no-store
X-Content-Type-Options: nosniff



=== TEST 3: PUT creates, then replaces
--- request eval
["PUT /clients/a\n" . '{"capacity":7,"rate_per_sec":0.5}',
 "PUT /clients/a\n" . '{"capacity":2,"rate_per_sec":1e-4}',
 "GET /clients/a"]
--- error_code eval
[201, 200, 200]
--- response_body_like eval
['^\{"client_id":"a","capacity":7,"rate_per_sec":0\.5,"tokens":7,"reg',
 '^\{"client_id":"a","capacity":2,"rate_per_sec":0\.0001,"tokens":2,"reg',
 '^\{"client_id":"a","capacity":2,"rate_per_sec":0\.0001,"tokens":2,"reg']



=== TEST 4: PUT of a new client says where it is
--- request
PUT /clients/a%20b
{"capacity":7,"rate_per_sec":0.5}
--- error_code: 201
--- response_headers
Location: /clients/a%20b



=== TEST 5: PATCH changes what it names
--- request eval
["PUT /clients/a\n" . '{"capacity":7,"rate_per_sec":0.0001}',
 "PATCH /clients/a\n" . '{"tokens":2.5}',
 "PATCH /clients/a\n" . '{"rate_per_sec":0.0002}',
 "PATCH /clients/a\n" . '{"capacity":50}',
 "PATCH /clients/a\n" . '{"capacity":2}',
 "PATCH /clients/a\n" . '{"capacity":9,"rate_per_sec":0.001,"tokens":9}',
 "PATCH /clients/a\n" . '{"tokens":0}']
--- error_code eval
[201, 200, 200, 200, 200, 200, 200]
--- response_body_like eval
['"capacity":7,"rate_per_sec":0\.0001,"tokens":7,',
 '"capacity":7,"rate_per_sec":0\.0001,"tokens":2\.5,',
 '"capacity":7,"rate_per_sec":0\.0002,"tokens":2\.5(0\d+)?,',
 '"capacity":50,"rate_per_sec":0\.0002,"tokens":2\.5(0\d+)?,',
 '"capacity":2,"rate_per_sec":0\.0002,"tokens":2,',
 '"capacity":9,"rate_per_sec":0\.001,"tokens":9,',
 '"capacity":9,"rate_per_sec":0\.001,"tokens":0,']



=== TEST 6: PATCH of somebody unknown, or to more tokens than fit
--- request eval
["PATCH /clients/a\n" . '{"tokens":1}',
 "PUT /clients/a\n" . '{"capacity":7,"rate_per_sec":1}',
 "PATCH /clients/a\n" . '{"tokens":7.5}',
 "PATCH /clients/a\n" . '{"tokens":7,"capacity":6}',
 "PATCH /clients/a\n" . '{}']
--- error_code eval
[404, 201, 400, 400, 400]
--- response_body_like eval
['"client_id \\\\"a\\\\" is not registered"',
 'capacity',
 'tokens is 7\.5, must be a number from 0 to the capacity, here 7"',
 'tokens is 7, must be a number from 0 to the capacity, here 6"',
 'nothing to change']



=== TEST 7: one with a live bucket who is not registered
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /limited { tbucket zone=z; return 204; try_files /none =204; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["GET /pass?key=live", "GET /clients/live"]
--- error_code eval
[204, 200]
--- response_body_like eval
['^$',
 '^\{"client_id":"live","capacity":3,"rate_per_sec":0\.000278,"tokens":2'
 . '(?:\.\d+)?,"registered":false\}$']



=== TEST 7a: the bucket of one who is not registered
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["GET /pass?key=live",
 "PATCH /clients/live\n" . '{"tokens":0.5}',
 "GET /pass?key=live",
 "PATCH /clients/live\n" . '{"tokens":3.5}',
 "PATCH /clients/live\n" . '{"blocked":true}',
 "DELETE /clients/live",
 ("GET /pass?key=live") x 4,
 "GET /clients/live",
 "DELETE /clients/nobody"]
--- error_code eval
[204, 200, 429, 400, 404, 204, 204, 204, 204, 429, 200, 404]
--- response_body_like eval
['^$',
 '^\{"client_id":"live","capacity":3,"rate_per_sec":0\.000278,'
 . '"tokens":0\.5(?:\d+)?,"registered":false\}$',
 'Rate limit exceeded',
 'tokens is 3\.5, must be a number from 0 to the capacity, here 3"',
 '"client_id \\\\"live\\\\" is not registered"',
 ('^$') x 4,
 'Rate limit exceeded',
 '"tokens":0(?:\.\d+)?,"registered":false\}$',
 '"client_id \\\\"nobody\\\\" is not registered"']



=== TEST 8: tokens are kept when a live bucket is registered, and back
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["GET /pass?key=a", "GET /pass?key=a",
 "PUT /clients/a\n" . '{"capacity":50,"rate_per_sec":0.0001}',
 "GET /pass?key=a", "GET /pass?key=a",
 "DELETE /clients/a", "GET /pass?key=a", "GET /clients/a"]
--- error_code eval
[204, 204, 201, 204, 429, 204, 429, 200]
--- response_body_like eval
['', '', '"tokens":1(?:\.\d+)?,"registered":true', '', '', '', '',
 '"capacity":3,.*"tokens":0(?:\.\d+)?,"registered":false']



=== TEST 9: a lowered capacity cuts the tokens, a raised one keeps them
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["PUT /clients/a\n" . '{"capacity":5,"rate_per_sec":0.0001}',
 "PUT /clients/a\n" . '{"capacity":2,"rate_per_sec":0.0001}',
 "PUT /clients/a\n" . '{"capacity":100,"rate_per_sec":0.0001}',
 "GET /pass?key=a", "GET /pass?key=a", "GET /pass?key=a"]
--- error_code eval
[201, 200, 200, 204, 204, 429]



=== TEST 10: an array is created and updated
--- request eval
["POST /clients\n" . '[{"client_id":"a","capacity":1,"rate_per_sec":1},'
 . '{"client_id":"b","capacity":2,"rate_per_sec":1}]',
 "POST /clients\n" . '[{"client_id":"b","capacity":3,"rate_per_sec":1},'
 . '{"client_id":"c","capacity":4,"rate_per_sec":1},'
 . '{"client_id":"d","capacity":5,"rate_per_sec":1}]',
 "POST /clients\n[]", "GET /clients/b"]
--- error_code eval
[200, 200, 200, 200]
--- response_body_like eval
['^\{"created":2,"updated":0\}$', '^\{"created":2,"updated":1\}$',
 '^\{"created":0,"updated":0\}$', '"capacity":3,']



=== TEST 11: an array with something wrong in it changes nothing
--- request eval
["POST /clients\n" . '[{"client_id":"a","capacity":1,"rate_per_sec":1},'
 . '{"client_id":"b","capacity":0,"rate_per_sec":1}]',
 "POST /clients\n" . '[{"client_id":"a","capacity":1,"rate_per_sec":1},'
 . '{"client_id":"a","capacity":2,"rate_per_sec":1}]',
 "GET /clients"]
--- error_code eval
[400, 400, 200]
--- response_body_like eval
['"message":"\[1\]: capacity is 0, must be [^"]* 1 to 1000000',
 '"message":"\[1\]: client_id \\\\"a\\\\" is there twice, see \[0\]"',
 '^\{"clients":\[\],"next":null\}$']



=== TEST 12: a list in pages shows everybody once
--- request eval
["POST /clients\n" . '[' . CORE::join(',', map {
     "{\"client_id\":\"c$_\",\"capacity\":1,\"rate_per_sec\":1}" } 1 .. 3)
 . ']',
 "GET /clients?limit=3", "GET /clients?limit=2"]
--- error_code eval
[200, 200, 200]
--- response_body_like eval
['"created":3',
 '^\{"clients":\[(?:\{"client_id":"c\d","capacity":1,"rate_per_sec":1,'
 . '"tokens":1,"registered":true\},?){3}\],"next":null\}$',
 '^\{"clients":\[(?:\{[^}]+\},?){2}\],"next":"[0-9a-f]{16}"\}$']



=== TEST 13: limit and cursor are checked
--- request eval
["GET /clients?limit=0", "GET /clients?limit=1001", "GET /clients?limit=x",
 "GET /clients?limit=", "GET /clients?limit=1000", "GET /clients?cursor=x",
 "GET /clients?cursor=", "GET /clients?cursor=ffffffffffffffff"]
--- error_code eval
[400, 400, 400, 400, 200, 400, 400, 200]
--- response_body_like eval
['limit is \\\\"0\\\\", must be a whole number from 1 to 1000"',
 'limit is \\\\"1001\\\\"', 'limit is \\\\"x\\\\"', 'limit is \\\\"\\\\"',
 '"clients":\[\]', 'cursor is \\\\"x\\\\"', 'cursor is \\\\"\\\\"',
 '^\{"clients":\[\],"next":null\}$']



=== TEST 14: what is not declared application/json is refused
--- more_headers
Content-Type: text/plain
--- request eval
["POST /clients\n$::user1", "PUT /clients/a\n{}", "PATCH /clients/a\n{}",
 "GET /clients"]
--- error_code eval
[415, 415, 415, 200]
--- response_body_like eval
['"code":415,"message":".*application/json', '"code":415', '"code":415',
 '^\{"clients":\[\],"next":null\}$']



=== TEST 15: without a type at all it is refused as well
--- more_headers
X-None: none
--- request eval
"POST /clients\n$::user1"
--- error_code: 415
--- response_body_like: "code":415



=== TEST 16: parameters of the type do not matter
--- more_headers
Content-Type: application/json ; charset=utf-8
--- request eval
"POST /clients\n$::user1"
--- error_code: 201
--- response_body_like: user1



=== TEST 17: methods that do not belong to the list of clients
--- request eval
["PUT /clients\n{}", "PATCH /clients\n{}", "DELETE /clients",
 "OPTIONS /clients"]
--- error_code eval
[405, 405, 405, 405]
--- response_headers eval
[("Allow: GET, HEAD, POST") x 4]
--- response_body_like eval
[('"code":405') x 4]



=== TEST 18: methods that do not belong to a client
--- request eval
["POST /clients/a\n{}", "OPTIONS /clients/a", "POST /clients?client_id=a\n{}"]
--- error_code eval
[405, 405, 405]
--- response_headers eval
[("Allow: GET, HEAD, PUT, PATCH, DELETE") x 3]



=== TEST 19: without write=on nothing is changed
--- config
    location /clients { tbucket_api zone=z; }
--- request eval
["POST /clients\n$::user1", "PUT /clients/a\n{}", "DELETE /clients/a",
 "GET /clients"]
--- error_code eval
[405, 405, 405, 200]
--- response_headers eval
["Allow: GET, HEAD", "Allow: GET, HEAD", "Allow: GET, HEAD", "! Allow"]



=== TEST 20: HEAD
--- config
    location /clients { tbucket_api write=off zone=z; }
--- request eval
["HEAD /clients", "HEAD /clients/a"]
--- error_code eval
[200, 404]
--- response_headers_like eval
["Content-Length: [1-9]\\d+\nContent-Type: application/json",
 "Content-Length: [1-9]\\d+\nContent-Type: application/json"]
--- response_body eval
['', '']



=== TEST 21: ids are percent-decoded, and shown as they are
--- request eval
["PUT /clients/%C3%A9%2Fx%20y%22%5C%0A\n{\"capacity\":1,\"rate_per_sec\":1}",
 "GET /clients/%c3%a9/x%20y%22%5c%0a",
 "GET /clients?client_id=%C3%A9%2Fx%20y%22%5C%0A"]
--- error_code eval
[201, 200, 200]
--- response_body_like eval
[('^\{"client_id":"\xc3\xa9/x y\\\\"\\\\\\\\\\\\n","capacity":1,') x 3]



=== TEST 22: ids that the path would not bring unharmed
--- request eval
["PUT /clients?client_id=..%2F..%2Fa\n{\"capacity\":1,\"rate_per_sec\":1}",
 "PUT /clients?client_id=a//b\n{\"capacity\":2,\"rate_per_sec\":1}",
 "PATCH /clients?client_id=a%2F%2Fb\n{\"capacity\":3}",
 "GET /clients?client_id=..%2f..%2fa", "DELETE /clients?client_id=..%2f../a",
 "GET /clients?client_id=a//b"]
--- error_code eval
[201, 201, 200, 200, 204, 200]
--- response_headers eval
["Location: /clients?client_id=..%2F..%2Fa",
 "Location: /clients?client_id=a%2F%2Fb", "", "", "", ""]
--- response_body_like eval
['"client_id":"\.\./\.\./a"', '"client_id":"a//b"', '"capacity":3',
 '"client_id":"\.\./\.\./a"', '^$', '"client_id":"a//b","capacity":3']



=== TEST 23: ids that are none
--- request eval
["GET /clients?client_id=", "GET /clients?client_id=%zz",
 "GET /clients?client_id=%00", "GET /clients?client_id=%ff",
 "GET /clients/%ff", "GET /clients/" . 'a' x 256,
 "GET /clients?client_id=" . 'a' x 256, "GET /clients/a?client_id=b",
 "GET /clients/" . 'a' x 255]
--- error_code eval
[400, 400, 400, 400, 400, 400, 400, 400, 404]
--- response_body_like eval
['client_id is empty', 'client_id has a \\\\"%\\\\"', 'client_id has a NUL',
 'client_id is not UTF-8', 'client_id is not UTF-8', 'client_id is too long',
 'client_id is too long', 'client_id is given twice', '"code":404']



=== TEST 24: "+" is a plus sign in both places
--- request eval
["PUT /clients/a+b\n{\"capacity\":1,\"rate_per_sec\":1}",
 "GET /clients?client_id=a+b"]
--- error_code eval
[201, 200]
--- response_body_like eval
[('"client_id":"a\+b"') x 2]



=== TEST 25: with a slash at the end of the location's name
--- config
    location /v1/clients/ { tbucket_api zone=z write=on; }
--- request eval
["POST /v1/clients/\n$::user1", "GET /v1/clients/user1", "GET /v1/clients/",
 "GET /v1/clients"]
--- error_code eval
[201, 200, 200, 301]
--- response_headers eval
["Location: /v1/clients/user1", "", "", ""]



=== TEST 26: with a slash at the end of the request
--- request eval
["POST /clients/\n$::user1", "GET /clients/", "GET /clients/user1"]
--- error_code eval
[201, 200, 200]
--- response_headers eval
["Location: /clients/user1", "", ""]



=== TEST 27: an exact location has clients as arguments only
--- config
    location = /clients { tbucket_api zone=z write=on; }
--- request eval
["POST /clients\n$::user1", "GET /clients?client_id=user1"]
--- error_code eval
[201, 200]
--- response_headers eval
["Location: /clients?client_id=user1", ""]



=== TEST 28: what merely begins with the location's name is not found
--- request
GET /clientsandmore
--- error_code: 404
--- response_body_like: ^\{"code":404,"message":"there is nothing at /clients



=== TEST 29: a location's name is spelled as a URI
--- config
    location "/my clients" { tbucket_api zone=z write=on; }
--- request eval
"POST /my%20clients\n$::user1"
--- error_code: 201
--- response_headers
Location: /my%20clients/user1



=== TEST 30: limit_except has the API, with rules of its own
--- config
    location /clients {
        tbucket_api zone=z write=on;
        limit_except GET { deny all; }
    }
    location /open {
        tbucket_api zone=z write=on;
        limit_except GET { allow all; }
    }
--- request eval
["POST /clients\n$::user1", "POST /open\n$::user1", "GET /clients/user1"]
--- error_code eval
[403, 201, 200]



=== TEST 31: an "if" block has the API
--- config
    location /clients {
        tbucket_api zone=z write=on;
        if ($http_x_tag) { set $tag 1; }
    }
--- more_headers
Content-Type: application/json
X-Tag: 1
--- request eval
["POST /clients\n$::user1", "GET /clients/user1"]
--- error_code eval
[201, 200]



=== TEST 32: access control comes first, and follows error_page
--- config
    error_page 401 403 413 /error.txt;
    location = /error.txt { internal; return 200 "mine"; }
    location /clients { tbucket_api zone=z write=on; client_max_body_size 10; }
    location /denied { tbucket_api zone=z write=on; deny all; }
    location /private {
        tbucket_api zone=z write=on;
        auth_basic "clients";
        auth_basic_user_file html/none;
    }
--- request eval
["GET /denied", "GET /private", "POST /clients\n$::user1"]
--- error_code eval
[403, 401, 413]
--- response_body eval
[('mine') x 3]



=== TEST 33: what the API answers does not follow error_page
--- config
    error_page 400 404 405 409 415 = /error.txt;
    location = /error.txt { internal; return 200 "mine"; }
    location /clients { tbucket_api zone=z write=on; }
--- request eval
["POST /clients\n{", "GET /clients/a", "PUT /clients\n{}"]
--- error_code eval
[400, 404, 405]
--- response_body_like eval
['"code":400', '"code":404', '"code":405']



=== TEST 34: a body in a temporary file
--- config
    location /clients { tbucket_api zone=z write=on; client_body_in_file_only clean; }
--- request eval
["POST /clients\n$::user1", "POST /clients\n{", "GET /clients/user1"]
--- error_code eval
[201, 400, 200]



=== TEST 35: the shared memory is another one for each zone
--- http_config
    tbucket_zone $arg_key zone=y:32k rate=1r/h;
    tbucket_zone $arg_key zone=z:32k rate=1r/h;
--- config
    location /y { tbucket_api zone=y write=on; }
    location /z { tbucket_api zone=z write=on; }
--- request eval
["POST /y\n$::user1", "GET /z/user1"]
--- error_code eval
[201, 404]



=== TEST 36: no room
--- http_config
    tbucket_zone $arg_key zone=z:32k rate=1r/h;
--- config
    location /clients { tbucket_api zone=z write=on; }
--- request eval
["POST /clients\n[" . CORE::join(',', map {
     "{\"client_id\":\"c$_\",\"capacity\":1,\"rate_per_sec\":1}" } 1 .. 300)
 . ']', "GET /clients"]
--- error_code eval
[503, 200]
--- response_body_like eval
['^\{"code":503,"message":"zone \\\\"z\\\\" has no room for more clients, '
 . 'nothing was changed: enlarge the zone"\}$',
 '^\{"clients":\[\],"next":null\}$']



=== TEST 37: an unknown zone
--- config
    location /clients { tbucket_api zone=nosuch write=on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown zone "nosuch" in "tbucket_api": no "tbucket_zone" declares it in .*nginx\.conf:\d+/



=== TEST 38: no zone
--- config
    location /clients { tbucket_api write=on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_api" must have "zone" parameter in .*:\d+/



=== TEST 39: an unknown parameter
--- config
    location /clients { tbucket_api zone=z writeonly; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "writeonly" in .*:\d+/



=== TEST 40: twice in one place
--- config
    location /clients { tbucket_api zone=z write=on; tbucket_api zone=z; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_api" directive is duplicate in .*:\d+/



=== TEST 41: with metrics in one place
--- config
    location /clients { tbucket_api zone=z write=on; tbucket_metrics; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_metrics" and "tbucket_api" cannot be in one location in/



=== TEST 42: in a location that no id could follow
--- config
    location ~ ^/clients { tbucket_api zone=z write=on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_api" directive cannot be in a location given by a/



=== TEST 43: outside of a location
--- config
    tbucket_api zone=z write=on;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_api" directive is not allowed here in .*:\d+/



=== TEST 44: a client that was full when it was removed is as new
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["PUT /clients/a\n" . '{"capacity":1,"rate_per_sec":0.0001}',
 "DELETE /clients/a", "GET /clients/a", "GET /pass?key=a", "GET /pass?key=a",
 "GET /pass?key=a", "GET /pass?key=a"]
--- error_code eval
[201, 204, 404, 204, 204, 204, 429]



=== TEST 45: the API itself can be limited
--- http_config
    tbucket_zone admin zone=admin:32k rate=1r/h capacity=3;
    tbucket_zone $arg_key zone=z:64k rate=1r/h;
    log_format api '$request_method=$status=$tbucket_status=$tbucket_zone';
    access_log logs/access.log api;
--- config
    location /clients { tbucket_api zone=z write=on; tbucket zone=admin; }
--- request eval
["POST /clients\n$::user1", "GET /clients/user1", "PUT /clients/b\n{",
 "DELETE /clients/user1"]
--- error_code eval
[201, 200, 400, 429]
--- response_headers_like eval
['RateLimit: "admin";r=2;t=\d+', 'RateLimit: "admin";r=1;t=\d+',
 'RateLimit: "admin";r=0;t=\d+', 'Retry-After: \d+']
--- access_log eval
qr/^(?:POST=201=PASSED|GET=200=PASSED|PUT=400=PASSED|DELETE=429=REJECTED)=admin$/



=== TEST 46: a condition that fails does not hide what has been done
--- more_headers
Content-Type: application/json
If-Match: "x"
If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT
--- request eval
["PUT /clients/a\n" . '{"capacity":2,"rate_per_sec":0.0001}',
 "PUT /clients/a\n" . '{"capacity":1,"rate_per_sec":0.0001}',
 "GET /clients/a"]
--- error_code eval
[201, 200, 200]
--- response_body eval
[map { "$_\n" }
 ('{"client_id":"a","capacity":2,"rate_per_sec":0.0001,"tokens":2,'
  . '"registered":true}'),
 ('{"client_id":"a","capacity":1,"rate_per_sec":0.0001,"tokens":1,'
  . '"registered":true}') x 2]



=== TEST 47: write is on or off
--- config
    location /clients { tbucket_api zone=z write=yes; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "yes" of "write" in "tbucket_api", it must be "on" or "off" in .*:\d+/



=== TEST 48: write twice
--- config
    location /clients { tbucket_api zone=z write=on write=off; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_api" directive has duplicate "write" parameter in .*:\d+/



=== TEST 49: arguments that are not known, given twice, or have no value
--- request eval
["GET /clients?page=1", "GET /clients?limit=1&limit=2", "GET /clients/a?limit=1",
 "PUT /clients/a?force\n{}", "POST /clients?limit=1\n$::user1",
 "GET /clients?client_id=a&hash=1", "GET /clients?hash=12",
 "GET /clients?hash=0000000000000000", "GET /clients?hash=ffffffffffffffff",
 "GET /clients?&limit=1&", "GET /clients?limit", "GET /clients?client_id&",
 "GET /clients?hash"]
--- error_code eval
[400, 400, 400, 400, 400, 400, 400, 404, 404, 200, 400, 400, 400]
--- response_body_like eval
['argument \\\\"page\\\\" is unknown here, given twice, or without',
 'argument \\\\"limit\\\\"', 'argument \\\\"limit\\\\"',
 'argument \\\\"force\\\\"', 'argument \\\\"limit\\\\"',
 'argument \\\\"hash\\\\"',
 'hash is \\\\"12\\\\", must be 16 hexadecimal digits',
 ('no registered client has the hash') x 2, '"clients":\[\]',
 map { 'argument \\\\"' . $_ . '\\\\"' } qw(limit client_id hash)]



=== TEST 50: tokens of one who is not registered are set
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["GET /pass?key=a", "PATCH /clients/a\n" . '{"tokens":1}',
 "GET /pass?key=a", "GET /pass?key=a",
 "PATCH /clients/a\n" . '{"tokens":3.5}',
 "PATCH /clients/a\n" . '{"tokens":3,"capacity":9}',
 "PATCH /clients/a\n" . '{"capacity":9,"rate_per_sec":1}',
 "PATCH /clients?client_id=a\n" . '{"tokens":2.5}',
 "GET /clients?limit=9", "GET /pass?key=a", "GET /clients/a"]
--- error_code eval
[204, 200, 204, 429, 400, 404, 404, 200, 200, 204, 200]
--- response_body_like eval
['^$',
 '^\{"client_id":"a","capacity":3,"rate_per_sec":0\.000278,"tokens":1'
 . '(?:\.0\d+)?,"registered":false\}$',
 '', '',
 'tokens is 3\.5, must be a number from 0 to the capacity, here 3"',
 'is not registered', 'is not registered',
 '"tokens":2\.5(?:0\d+)?,"registered":false\}$',
 '^\{"clients":\[\],"next":null\}$', '',
 '"tokens":1\.5(?:0\d+)?,"registered":false\}$']



=== TEST 51: the bucket of one who is not registered is full again
--- config
    location /clients { tbucket_api zone=z write=on; }
    location /pass { tbucket zone=z; try_files /none =204; }
--- request eval
["DELETE /clients/a",
 (map { "GET /pass?key=a" } 1 .. 4), "DELETE /clients/a",
 "DELETE /clients/a", "GET /clients/a",
 (map { "GET /pass?key=a" } 1 .. 4), "GET /pass?key=b"]
--- error_code eval
[404, 204, 204, 204, 429, 204, 404, 404, 204, 204, 204, 429, 204]
