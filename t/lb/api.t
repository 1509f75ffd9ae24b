# The upstreams API, lb_state and lb_metrics: what each request answers, every
# error as JSON, and every wrong form of the directives.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 200;

no_long_string();
log_level('info');

our $new = '{"address":"127.0.0.1:1"}';

# servers in a zone of 64k

our $room = 15;

our $shown = '^' . quotemeta('{"id":2,"address":"127.0.0.1:1","weight":1,'
                             . '"max_conns":0,"max_fails":1,'
                             . '"fail_timeout":"10s","backup":false,'
                             . '"state":"up","reason":"","active":0,'
                             . '"requests":0,"failures":0,'
                             . '"response_time_ms":0,"since":"')
             . '20\d\d-\d\d-\d\dT[\d:.]{12}Z'
             . quotemeta('","last_check":null}') . '$';

our $absent = '{"code":404,"message":"there is no such server in upstream '
              . '\"u\""}';

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config => <<'END')
        upstream u { lb round_robin; server 127.0.0.1:9; }
        upstream v { lb round_robin; server 127.0.0.1:9;
                     server 127.0.0.1:9 weight=2; }
        upstream plain { server 127.0.0.1:9; }
END
        unless defined $block->http_config;

    $block->set_value(config => <<'END') unless defined $block->config;
        location /upstreams { lb_api write=on; }
        location /look/ { lb_api; }
        location /metrics { lb_metrics; }
END

    $block->set_value(more_headers => 'Content-Type: application/json')
        unless defined $block->more_headers;

    $block->set_value(request => 'GET /') unless defined $block->request;
});

run_tests();

__DATA__

=== TEST 1: a server is added, shown, not added again, removed
--- request eval
["POST /upstreams/u/servers\n$::new", "GET /upstreams/u/servers/2",
 "POST /upstreams/u/servers\n$::new", "DELETE /upstreams/u/servers/2",
 "DELETE /upstreams/u/servers/2", "GET /upstreams/u/servers/2"]
--- error_code eval
[201, 200, 409, 204, 404, 404]
--- response_body_like eval
[$::shown, $::shown,
 '^\{"code":409,"message":"server 127.0.0.1:1 is in upstream ..u.. already"\}$',
 '^$', "^\Q$::absent\E\$", "^\Q$::absent\E\$"]



=== TEST 2: the answer to a new server says where it is, and is not cached
--- request eval
"POST /upstreams/u/servers\n$::new"
--- error_code: 201
--- response_headers
Location: /upstreams/u/servers/2
Content-Type: application/json
Cache-Control: no-store
X-Content-Type-Options: nosniff



=== TEST 3: all settings of a new server
--- request
POST /upstreams/u/servers
{"address":"[::1]:81","weight":5,"max_conns":7,"max_fails":0,"fail_timeout":1.5,"backup":true,"state":"draining"}
--- error_code: 201
--- response_body_like: ^\{"id":2,"address":"\[::1\]:81","weight":5,"max_conns":7,"max_fails":0,"fail_timeout":"1500ms","backup":true,"state":"draining","reason":"drained by an operator",



=== TEST 4: unix sockets, and port 80 if there is none
--- request eval
["POST /upstreams/u/servers\n" . '{"address":"unix:/tmp/x"}',
 "POST /upstreams/u/servers\n" . '{"address":"127.0.0.7"}']
--- error_code eval
[201, 201]
--- response_body_like eval
['"address":"unix:/tmp/x"', '"address":"127.0.0.7:80"']



=== TEST 5: PATCH changes what it names
--- request eval
["PATCH /upstreams/u/servers/1\n" . '{"weight":9}',
 "PATCH /upstreams/u/servers/1\n"
 . '{"max_conns":3,"max_fails":2,"fail_timeout":"2m","backup":true}',
 "PATCH /upstreams/u/servers/1\n" . '{"state":"disabled"}',
 "PATCH /upstreams/u/servers/1\n" . '{"state":"up","backup":false}']
--- error_code eval
[200, 200, 200, 200]
--- response_body_like eval
['"weight":9,"max_conns":0,"max_fails":1,"fail_timeout":"10s","backup":false,"state":"up"',
 '"weight":9,"max_conns":3,"max_fails":2,"fail_timeout":"120s","backup":true,"state":"up"',
 '"state":"disabled","reason":"disabled by an operator"',
 '"weight":9,.*"backup":false,"state":"up"']



=== TEST 6: lists of all upstreams, of one, of its servers
--- request eval
["GET /upstreams", "GET /upstreams/", "GET /upstreams/v",
 "GET /upstreams/v/servers", "HEAD /upstreams/v"]
--- error_code eval
[200, 200, 200, 200, 200]
--- response_body_like eval
['^\{"upstreams":\[\{"name":"u","method":"round_robin","usable":1,"total":1,.*"servers":\[\{"id":1,.*\},\{"name":"v".*\]\}\]\}$',
 '^\{"upstreams":\[',
 '^\{"name":"v","method":"round_robin","usable":2,"total":2,"capacity":64,"retries":0,"servers":\[\{"id":1,.*\},\{"id":2,.*"weight":2,.*\}\]\}$',
 '^\{"servers":\[\{"id":1,.*\},\{"id":2,.*\}\]\}$', '^$']



=== TEST 7: what is not there is 404
--- request eval
["GET /upstreams/none", "GET /upstreams/plain", "GET /upstreams/u/x",
 "GET /upstreams/u/servers/7", "GET /upstreams/u/servers/01",
 "GET /upstreams/u/servers/1/x", "PATCH /upstreams/u/servers/x\n{}",
 "POST /upstreams/none/servers\n{}"]
--- error_code eval
[404, 404, 404, 404, 404, 404, 404, 404]
--- response_body_like eval
['no upstream \\\\"none\\\\" with \\\\"lb\\\\"', 'no upstream \\\\"plain',
 'there is nothing at /upstreams/u/x', 'no such server', 'no such server',
 'nothing at', 'no such server', 'no upstream \\\\"none']



=== TEST 8: methods that are not allowed, with Allow
--- request eval
["POST /upstreams\n{}", "DELETE /upstreams/u", "PUT /upstreams/u/servers\n{}",
 "PUT /upstreams/u/servers/1\n{}", "POST /look/u/servers\n{}",
 "PATCH /look/u/servers/1\n{}", "DELETE /look/u/servers/1",
 "POST /metrics\n{}"]
--- error_code eval
[405, 405, 405, 405, 405, 405, 405, 405]
--- response_headers eval
["Allow: GET, HEAD", "Allow: GET, HEAD", "Allow: GET, HEAD, POST",
 "Allow: GET, HEAD, PATCH, DELETE", "Allow: GET, HEAD", "Allow: GET, HEAD",
 "Allow: GET, HEAD", "Allow: GET, HEAD"]



=== TEST 9: a body that is not declared to be JSON is 415
--- more_headers
Content-Type: text/plain
--- request eval
["POST /upstreams/u/servers\n$::new",
 "PATCH /upstreams/u/servers/1\n" . '{"weight":2}']
--- error_code eval
[415, 415]



=== TEST 10: wrong addresses
--- request eval
[map { "POST /upstreams/u/servers\n" . $_ }
 '{"address":"localhost:80"}', '{"address":"127.0.0.1:0"}',
 '{"address":"127.0.0.1:65536"}', '{"address":"127.0.0.1:80-90"}',
 '{"address":"127.0.0.1/x"}', '{"address":"unix:"}', '{"address":""}',
 '{"address":"a b"}', '{"address":7}', '{"weight":1}']
--- error_code eval
[400, 400, 400, 400, 400, 400, 400, 400, 400, 400]
--- response_body_like eval
['address is \\\\"localhost:80\\\\", must be .*names are looked up in server lines only',
 'invalid port', 'invalid port', 'invalid port|more than one address', 'invalid host',
 'no path in the unix domain socket', 'address is .*, must be a string of 1',
 'must be a string of 1', 'address is 7, must be',
 'address is missing, must be']



=== TEST 11: wrong settings
--- request eval
[map { "PATCH /upstreams/u/servers/1\n" . $_ }
 '{"weight":0}', '{"weight":1.5}', '{"weight":-1}', '{"weight":"1"}',
 '{"weight":4294967296}', '{"max_fails":2147483648}', '{"backup":1}',
 '{"state":"down"}', '{"fail_timeout":"10x"}', '{"fail_timeout":""}',
 '{"max_conns":null}', '{"weight":[1]}', '{"weight":{}}']
--- error_code eval
[(400) x 13]
--- response_body_like eval
['weight is 0, must be an integer from 1 to 4294967295',
 'weight is 1.5', 'weight is -1', 'weight is \\\\"1\\\\"',
 'weight is 4294967296', 'max_fails is 2147483648',
 'backup is 1, must be true or false',
 'state is \\\\"down\\\\", must be \\\\"up\\\\", \\\\"draining\\\\" or \\\\"disabled\\\\"',
 'fail_timeout is \\\\"10x\\\\", must be a time',
 'fail_timeout is', 'max_conns is null', 'weight is an array',
 'weight is an object']



=== TEST 12: bodies that are no settings at all
--- request eval
[map { "PATCH /upstreams/u/servers/1\n" . $_ }
 '{}', '[]', '{"weight":1', '{"weight":1}x', '{"weight":1,"weight":1}',
 '{"id":3}', '{"address":"127.0.0.1:1"}', '1', "{\"weight\":1}\0"]
--- error_code eval
[(400) x 9]
--- response_body_like eval
['nothing to change, must have one of weight', 'must be a JSON object',
 'not valid JSON', 'not valid JSON', 'weight is there twice',
 'unknown member \\\\"id\\\\", allowed: weight', 'unknown member',
 'must be a JSON object', 'not valid JSON']



=== TEST 13: no room is 503
--- http_config eval
"upstream u { lb round_robin; lb_zone 64k; "
. CORE::join(' ', map { "server 127.0.0.1:$_;" } 1 .. $::room) . " }"
--- config
    location /upstreams { lb_api write=on; }
--- request
POST /upstreams/u/servers
{"address":"127.0.0.1:9999"}
--- error_code: 503
--- response_body_like: upstream \\"u\\" has room for \d+ servers, see \\"lb_zone\\"; nothing was changed



=== TEST 14: metrics of an address that is listed twice stay apart
--- request
GET /metrics
--- response_body_like eval
qr/lb_server_up\{upstream="v",server="127\.0\.0\.1:9"\} 1
lb_server_up\{upstream="v",server="127\.0\.0\.1:9#2"\} 1
/
--- response_headers
Content-Type: text/plain; version=0.0.4; charset=utf-8



=== TEST 15: lb_api in a location of a regular expression
--- config
    location ~ /x { lb_api; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_api" directive cannot be in a location given by a regular .*nginx\.conf:\d+/



=== TEST 16: lb_api in a named location
--- config
    location @x { lb_api; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_api" directive cannot be in a named location.*nginx\.conf:\d+/



=== TEST 17: lb_api with an unknown parameter
--- config
    location /x { lb_api writable; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "writable" in "lb_api", it must be "write=" in .*nginx\.conf:\d+/



=== TEST 18: lb_api with too many parameters
--- config
    location /x { lb_api write=on write=on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "lb_api" directive in .*nginx\.conf:\d+/



=== TEST 19: lb_api twice
--- config
    location /x { lb_api; lb_api; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_api" directive is duplicate in .*nginx\.conf:\d+/



=== TEST 20: lb_api and lb_metrics in one location
--- config
    location /x { lb_api; lb_metrics; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_metrics" and "lb_api" cannot be in one location in .*nginx\.conf:\d+/



=== TEST 21: the other way round
--- config
    location /x { lb_metrics; lb_api; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_api" and "lb_metrics" cannot be in one location in .*nginx\.conf:\d+/



=== TEST 22: lb_metrics twice
--- config
    location /x { lb_metrics; lb_metrics; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_metrics" directive is duplicate in .*nginx\.conf:\d+/



=== TEST 23: lb_metrics takes no parameter
--- config
    location /x { lb_metrics on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "lb_metrics" directive in .*nginx\.conf:\d+/



=== TEST 24: lb_api outside of a location
--- config
    lb_api;
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_api" directive is not allowed here in .*nginx\.conf:\d+/



=== TEST 25: lb_state twice
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:9; lb_state a; lb_state b; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_state" directive is duplicate in .*nginx\.conf:\d+/



=== TEST 26: lb_state with the path of a folder
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:9; lb_state state/; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid path "state\/" in "lb_state", it must be that of a file in .*nginx\.conf:\d+/



=== TEST 27: lb_state without lb
--- http_config
    upstream u { server 127.0.0.1:9; lb_state state/u.json; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_state" without "lb" in upstream "u" in .*nginx\.conf:\d+/



=== TEST 28: lb_state without a path
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:9; lb_state; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "lb_state" directive in .*nginx\.conf:\d+/



=== TEST 29: one file for two upstreams
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:9; lb_state state/u.json; }
    upstream v { lb round_robin; server 127.0.0.1:9; lb_state state/u.json; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"lb_state" ".*state\/u\.json" of upstream "u" is that of upstream "v", too, in .*nginx\.conf:\d+/



=== TEST 30: a file that is none
--- http_config
    upstream u { lb round_robin; server 127.0.0.1:9; lb_state /dev/null; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"\/dev\/null", the state file of upstream "u", is not a file of at most 64m in .*nginx\.conf:\d+/



=== TEST 31: without write=on nothing is changed, nor in a location within
--- config
    location /upstreams {
        lb_api write=on;
        location /upstreams/u { lb_api; }
    }
    location /off { lb_api write=off; }
--- request eval
["POST /upstreams/v/servers\n$::new", "PATCH /off/u/servers/1\n{}",
 "DELETE /off/u/servers/1", "POST /off/u/servers\n$::new",
 "HEAD /off/u/servers/1", "OPTIONS /off", "OPTIONS /off/u/servers"]
--- error_code eval
[201, 405, 405, 405, 200, 405, 405]
--- response_headers eval
["! Allow", ("Allow: GET, HEAD") x 3, "! Allow", ("Allow: GET, HEAD") x 2]



=== TEST 32: write is on or off
--- config
    location /x { lb_api write=1; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "1" of "write" in "lb_api", it must be "on" or "off" in .*nginx\.conf:\d+/



=== TEST 33: arguments are not known
--- request eval
["GET /upstreams?x=1", "GET /upstreams/u?limit=2", "GET /upstreams/u/servers/1?",
 "POST /upstreams/u/servers?force=1\n$::new"]
--- error_code eval
[400, 400, 200, 400]
--- response_body_like eval
['argument \\\\"x\\\\" is unknown', 'argument \\\\"limit\\\\" is unknown',
 '"id":1,', 'argument \\\\"force\\\\" is unknown']
