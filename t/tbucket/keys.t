# Whose bucket a request is charged to: keys, fallbacks, addresses.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 139;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: an empty key is not limited
--- http_config
    tbucket_zone $http_x_api_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
    add_header X-Status "[$tbucket_status]";
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["", "X-Api-Key:", ""]
--- response_headers eval
[("! RateLimit\n! RateLimit-Policy\n! Retry-After\nX-Status: []") x 3]



=== TEST 2: a key of several variables and text
--- http_config
    tbucket_zone $arg_a-${arg_b}x zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
    add_header X-Client $tbucket_client;
--- request eval
["GET /?a=1&b=2", "GET /?b=2&a=1", "GET /?a=1", "GET /?a=1"]
--- error_code eval
[200, 429, 200, 429]
--- response_headers eval
["X-Client: 1-2x", "! X-Client", "X-Client: 1-x", "! X-Client"]



=== TEST 3: a key without variables is one bucket for all
--- http_config
    tbucket_zone all zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=a", "GET /?key=b"]
--- error_code eval
[200, 429]



=== TEST 4: a key with braces
--- http_config
    tbucket_zone ${arg_key} zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=a", "GET /?key=b", "GET /?key=b"]
--- error_code eval
[200, 200, 429]



=== TEST 5: a key of a map, empty for those that are free
--- http_config
    map $arg_key $limited { default $arg_key; ~^vip- ""; }
    tbucket_zone $limited zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=a", "GET /?key=vip-1", "GET /?key=vip-1", "GET /?key=a"]
--- error_code eval
[200, 200, 200, 429]



=== TEST 6: keys are bytes, case and all
--- http_config
    tbucket_zone $http_x_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
["X-Key: a", "X-Key: A", "X-Key: a b", "X-Key: \xff\xfe"]
--- error_code eval
[200, 200, 200, 200]



=== TEST 7: a binary key
--- http_config
    tbucket_zone $binary_remote_addr zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- error_code eval
[200, 429]



=== TEST 8: the key is read after rewrites, not as it was before
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m;
--- config
    location /by/ {
        set $before $arg_key;
        rewrite ^/by/(\w+) /index.html?key=$1? break;
        tbucket zone=z;
        root html;
        add_header X-Client $tbucket_client;
    }
--- request eval
["GET /by/a?key=x", "GET /by/b?key=x"]
--- response_headers eval
["X-Client: a", "X-Client: b"]



=== TEST 9: ids of up to 255 bytes are kept, longer ones hashed
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
    add_header X-Client $tbucket_client;
--- request eval
["GET /?key=" . 'a' x 255, "GET /?key=" . 'a' x 256]
--- response_headers_like eval
["X-Client: a{255}", "X-Client: #[0-9a-f]{16}"]



=== TEST 10: long ids are apart where only their ends differ
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=" . 'a' x 900 . 'x', "GET /?key=" . 'a' x 900 . 'y',
 "GET /?key=" . 'a' x 900 . 'x', "GET /?key=" . 'a' x 255]
--- error_code eval
[200, 200, 429, 200]



=== TEST 11: fallback: an empty key is charged to the other one
--- http_config
    tbucket_zone $http_x_api_key fallback=$arg_who zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?who=a", "GET /?who=b", "GET /?who=a"]
--- error_code eval
[200, 200, 429]



=== TEST 12: fallback: made-up keys earn no fresh bucket
--- http_config
    tbucket_zone $http_x_api_key fallback=$tbucket_addr zone=z:1m rate=1r/m capacity=2;
--- config
    tbucket zone=z;
    add_header X-Client $tbucket_client;
--- request eval
["GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
["X-Api-Key: a", "X-Api-Key: b", "X-Api-Key: c", ""]
--- error_code eval
[200, 200, 429, 429]
--- response_headers eval
["X-Client: 127.0.0.1", "X-Client: 127.0.0.1", "! X-Client", "! X-Client"]



=== TEST 13: fallback: a key spelled like an address names no other address
--- http_config
    tbucket_zone $http_x_api_key fallback=$tbucket_addr zone=z:1m rate=1r/m capacity=4;
--- config
    tbucket zone=z;
    add_header X-Client $tbucket_client;
--- request eval
[("GET /") x 5]
--- more_headers eval
[map { "X-Api-Key: $_" } '10.0.0.1', '2001:db8::1', '2001:db8::/64',
 '[::1]', '::ffff:10.0.0.1']
--- error_code eval
[(200) x 4, 429]
--- response_headers eval
[("X-Client: 127.0.0.1") x 4, "! X-Client"]



=== TEST 14: fallback: with both empty there is no limit
--- http_config
    tbucket_zone $http_x_api_key fallback=$arg_who zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /", "GET /"]
--- more_headers eval
["", "X-Api-Key: x"]
--- response_headers eval
["! RateLimit", "! RateLimit"]



=== TEST 15: tbucket_addr: IPv4
--- config
    location = /t { return 200 "$tbucket_addr"; }
--- request
GET /t
--- response_body chomp
127.0.0.1



=== TEST 16: tbucket_addr: IPv6 cut to 64 bits, as one writes it
--- config
    set_real_ip_from 127.0.0.0/8;
    real_ip_header X-From;
    location = /t { return 200 "$tbucket_addr"; }
--- request eval
[("GET /t") x 9]
--- more_headers eval
[map { "X-From: $_" } '2001:db8:1:2:3:4:5:6', '2001:db8::1', '::1',
 'fe80::1:2:3:4', '2001:0DB8:00A0::1', '1:0:0:1::', '::ffff:192.0.2.7',
 '64:ff9b::c000:207', '64:ff9b:1::c000:207']
--- response_body eval
['2001:db8:1:2::/64', '2001:db8::/64', '::/64', 'fe80::/64',
 '2001:db8:a0::/64', '1:0:0:1::/64', '192.0.2.7', '192.0.2.7',
 '64:ff9b:1::/64']



=== TEST 17: tbucket_addr: other prefixes, by location
--- config
    set_real_ip_from 127.0.0.0/8;
    real_ip_header X-From;
    tbucket_ipv6_prefix 48;
    location = /48 { return 200 "$tbucket_addr"; }
    location = /1 { tbucket_ipv6_prefix 1; return 200 "$tbucket_addr"; }
    location = /57 { tbucket_ipv6_prefix 57; return 200 "$tbucket_addr"; }
    location = /127 { tbucket_ipv6_prefix 127; return 200 "$tbucket_addr"; }
    location = /128 { tbucket_ipv6_prefix 128; return 200 "$tbucket_addr"; }
--- request eval
["GET /48", "GET /1", "GET /57", "GET /127", "GET /128"]
--- more_headers
X-From: ff01:db8:1:ffff:3:4:5:7
--- response_body eval
['ff01:db8:1::/48', '8000::/1', 'ff01:db8:1:ff80::/57',
 'ff01:db8:1:ffff:3:4:5:6/127', 'ff01:db8:1:ffff:3:4:5:7']



=== TEST 18: addresses of one prefix share a bucket
--- http_config
    tbucket_zone $tbucket_addr zone=z:1m rate=1r/m;
--- config
    set_real_ip_from 127.0.0.0/8;
    real_ip_header X-From;
    tbucket zone=z;
--- request eval
[("GET /") x 6]
--- more_headers eval
[map { "X-From: $_" } '2001:db8::1', '2001:db8::2', '2001:db8:0:1::1',
 '10.0.0.1', '::ffff:10.0.0.1', '10.0.0.2']
--- error_code eval
[200, 429, 200, 200, 429, 200]



=== TEST 19: a zone is one table for all places that use it
--- http_config
    tbucket_zone $arg_key zone=z:1m rate=1r/m capacity=2;
--- config
    location /a/ { tbucket zone=z; alias html/; }
    location /b/ { tbucket zone=z; alias html/; }
--- request eval
["GET /a/?key=1", "GET /b/?key=1", "GET /a/?key=1"]
--- error_code eval
[200, 200, 429]



=== TEST 20: zones of the same key are apart
--- http_config
    tbucket_zone $arg_key zone=z1:1m rate=1r/m;
    tbucket_zone $arg_key zone=z2:64k rate=1r/m;
--- config
    location /a/ { tbucket zone=z1; alias html/; }
    location /b/ { tbucket zone=z2; alias html/; }
--- request eval
["GET /a/?key=1", "GET /b/?key=1", "GET /a/?key=1", "GET /b/?key=1"]
--- error_code eval
[200, 200, 429, 429]



=== TEST 21: a key that is a header is what its variable says
--- http_config
    tbucket_zone $http_x_key zone=z:1m rate=100r/s;
    map "$tbucket_client|$http_x_key" $same { ~^(.+)\|\1$ yes; default no; }
--- config
    tbucket zone=z;
    add_header Same $same;
--- request eval
["GET /", "GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
["X-Key: a", "x-KEY: b", "X-Key: a\nX-Key: b", "X-Keys: a\nX-Key: b",
 "X_Key: a\nX-Key: b"]
--- response_headers eval
[("Same: yes") x 5]



=== TEST 22: likewise where headers may have underscores
--- http_config
    tbucket_zone $http_x_key zone=z:1m rate=100r/s;
    map "$tbucket_client|$http_x_key" $same { ~^(.+)\|\1$ yes; default no; }
--- config
    underscores_in_headers on;
    tbucket zone=z;
    add_header Same $same;
--- request eval
["GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
["X-Key: a", "X_Key: a", "X_Key: a\nX-Key: b", "X-Key: a\nX_Key: b"]
--- response_headers eval
[("Same: yes") x 4]



=== TEST 23: a variable named like that of a header is not one
--- http_config
    map $arg_key $http_x_key { default $arg_key; }
    tbucket_zone $http_x_key zone=z:1m rate=1r/m;
--- config
    tbucket zone=z;
--- request eval
["GET /?key=1", "GET /?key=1", "GET /?key=2"]
--- more_headers eval
["X-Key: a", "X-Key: b", "X-Key: b"]
--- error_code eval
[200, 429, 200]
