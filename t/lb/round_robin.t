# Round robin: nginx's smooth weighted order, retries, backups, what the log
# says about them, and the variables.  The backends are the server itself,
# which listens at all addresses and names the one that it was reached at.

use Test::Nginx::Socket;

plan tests => repeat_each() * 91;

no_long_string();
no_root_location();
no_shuffle();
log_level('notice');

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('config', <<'_EOC_' . ($block->config // ''));
    location / {
        proxy_pass http://u;
        rewrite ^ /b break;
        add_header X-Lb "$lb_server $lb_tries $lb_method" always;
    }
    location = /b { return 200 $server_addr; }
_EOC_
});

our $Nobody = 'connect\(\) failed \(111: Connection refused\)';

run_tests();

__DATA__

=== TEST 1: equal servers go in turns
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.4:$TEST_NGINX_SERVER_PORT;
    }
--- request eval
[("GET /") x 6]
--- response_body eval
[map { "127.0.0.$_" } 2, 3, 4, 2, 3, 4]



=== TEST 2: weights 5:1:1 come in nginx's smooth order
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT weight=5;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.4:$TEST_NGINX_SERVER_PORT;
    }
--- request eval
[("GET /") x 8]
--- response_body eval
[map { "127.0.0.$_" } 2, 2, 3, 2, 4, 2, 2, 2]



=== TEST 3: the log says who is down, why, and how many are left
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.4:$TEST_NGINX_SERVER_PORT;
    }
--- request
GET /
--- response_body: 127.0.0.3
--- error_log eval
[qr/\[error\].* lb: server 127\.0\.0\.2:1 in upstream "u" is down: $main::Nobody, 1 failure; 2 of 3 servers left$/m,
 qr/\[warn\].* lb: retrying on 127\.0\.0\.3:\d+ after 127\.0\.0\.2:1 failed \($main::Nobody\)/]



=== TEST 4: the variables tell server, attempts and method
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1 max_fails=2;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- request eval
[("GET /") x 4]
--- raw_response_headers_like eval
[map { qr/^X-Lb: 127\.0\.0\.3:\d+ $_ round_robin\r$/m } 2, 2, 1, 1]



=== TEST 5: nobody left is a 502 and a line in the log
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1;
        server 127.0.0.3:1;
    }
--- request
GET /
--- error_code: 502
--- raw_response_headers_like: X-Lb: 127\.0\.0\.3:1 2 round_robin
--- error_log
is down: connect() failed (111: Connection refused), 1 failure; 1 of 2 servers left
is down: connect() failed (111: Connection refused), 1 failure; 0 of 2 servers left
lb: no live servers in upstream "u"



=== TEST 6: servers that are never marked as failed leave nobody either
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1 max_fails=0;
        server 127.0.0.3:1 max_fails=0;
    }
--- request
GET /
--- error_code: 502
--- error_log
lb: no live servers in upstream "u"
--- no_error_log
is down



=== TEST 7: all down by configuration
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT down;
    }
--- request
GET /
--- error_code: 502
--- error_log
lb: no live servers in upstream "u"



=== TEST 8: a backup serves when the others do not
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT backup;
        server 127.0.0.4:$TEST_NGINX_SERVER_PORT down;
    }
--- request eval
[("GET /") x 3]
--- response_body eval
[("127.0.0.3") x 3]



=== TEST 9: a backup does not serve as long as another does
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT backup;
    }
--- request eval
[("GET /") x 3]
--- response_body eval
[("127.0.0.2") x 3]



=== TEST 10: a single server is tried with every request, as with nginx
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1;
    }
--- request eval
["GET /", "GET /"]
--- error_code eval
[502, 502]
--- raw_response_headers_like eval
[(qr/X-Lb: 127\.0\.0\.2:1 1 round_robin/) x 2]



=== TEST 11: an answer that counts as an error is retried and named
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = /x {
        proxy_pass http://u/y;
        proxy_next_upstream http_500;
    }
    location = /y {
        if ($server_addr = 127.0.0.2) { return 500; }
        return 200 $server_addr;
    }
--- request
GET /x
--- response_body: 127.0.0.3
--- error_log
is down: status 500, 1 failure; 1 of 2 servers left



=== TEST 12: 404 as a reason to go on is no failure
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = /x {
        proxy_pass http://u/y;
        proxy_next_upstream http_404;
    }
    location = /y {
        if ($server_addr = 127.0.0.2) { return 404; }
        return 200 $server_addr;
    }
--- request
GET /x
--- response_body: 127.0.0.3
--- no_error_log
is down



=== TEST 13: the upstream may be named by a variable
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = /x {
        set $where u;
        proxy_pass http://$where/b;
    }
--- request eval
["GET /x", "GET /x"]
--- response_body eval
["127.0.0.2", "127.0.0.3"]



=== TEST 14: an address listed twice gets two turns
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- request eval
[("GET /") x 6]
--- response_body eval
[map { "127.0.0.$_" } 2, 2, 3, 2, 2, 3]



=== TEST 15: POST is not repeated once it was sent
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:$TEST_NGINX_SERVER_PORT;
        server 127.0.0.3:$TEST_NGINX_SERVER_PORT;
    }
--- config
    location = /x {
        proxy_pass http://u/y;
        proxy_next_upstream error http_500;
    }
    location = /y {
        if ($server_addr = 127.0.0.2) { return 500; }
        return 200 $server_addr;
    }
--- request
POST /x
body
--- error_code: 500



=== TEST 16: after an internal redirect the variables still tell what was tried
--- http_config
    upstream u {
        lb round_robin;
        server 127.0.0.2:1;
    }
--- config
    location = /x {
        proxy_pass http://u;
        error_page 502 = /gone;
    }
    location = /gone {
        return 200 "$lb_server $lb_tries $lb_method";
    }
--- request
GET /x
--- response_body: 127.0.0.2:1 1 round_robin
