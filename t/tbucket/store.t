# tbucket_store: what its line may say.  The stores have tests of their own.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 2 * blocks();

no_long_string();

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http_config =>
                      'tbucket_zone $arg_key zone=z:64k rate=1r/h;'
                      . $block->http_config);
    $block->set_value(config => '');
    $block->set_value(must_die => '');
});

run_tests();

__DATA__

=== TEST 1: twice
--- http_config
    tbucket_store sqlite:store.db;
    tbucket_store sqlite:store.db;
--- error_log eval
qr/\[emerg\] .*"tbucket_store" directive is duplicate in .*:\d+/



=== TEST 2: an unknown scheme, named without the rest
--- http_config
    tbucket_store mongo://user:secret@host;
--- error_log eval
qr/\[emerg\] [^@]*unknown scheme "mongo" of the store's URL in [^@]*:\d+/



=== TEST 3: no scheme
--- http_config
    tbucket_store store;
--- error_log eval
qr/\[emerg\] .*the store's URL has no scheme in .*:\d+/



=== TEST 4: an interval that is too short
--- http_config
    tbucket_store sqlite:store.db interval=99ms;
--- error_log eval
qr/\[emerg\] .*invalid interval "99ms", a time from 100ms to 1h is expected in .*:\d+/



=== TEST 5: an interval that is too long
--- http_config
    tbucket_store sqlite:store.db interval=61m;
--- error_log eval
qr/\[emerg\] .*invalid interval "61m", a time from 100ms to 1h is expected/



=== TEST 6: an interval that is no time
--- http_config
    tbucket_store sqlite:store.db interval=often;
--- error_log eval
qr/\[emerg\] .*invalid interval "often", a time from/



=== TEST 7: an interval twice
--- http_config
    tbucket_store sqlite:store.db interval=1s interval=1s;
--- error_log eval
qr/\[emerg\] .*duplicate "interval" parameter in .*:\d+/



=== TEST 8: a timeout out of range
--- http_config
    tbucket_store sqlite:store.db timeout=61s;
--- error_log eval
qr/\[emerg\] .*invalid timeout "61s", a time from 10ms to 60s is expected/



=== TEST 9: a prefix that would break keys
--- http_config
    tbucket_store "sqlite:store.db" "prefix=a{b}";
--- error_log eval
qr/\[emerg\] .*invalid prefix "a\{b\}": 1 to 64 letters, digits and "\._:-"/



=== TEST 10: an empty prefix
--- http_config
    tbucket_store sqlite:store.db prefix=;
--- error_log eval
qr/\[emerg\] .*invalid prefix "": 1 to 64 letters/



=== TEST 11: a node's name twice
--- http_config
    tbucket_store sqlite:store.db node=a node=b;
--- error_log eval
qr/\[emerg\] .*duplicate "node" parameter/



=== TEST 12: an empty name of a file
--- http_config
    tbucket_store sqlite:store.db password_file=;
--- error_log eval
qr/\[emerg\] .*the name of "password_file" is empty/



=== TEST 13: a parameter that there is not
--- http_config
    tbucket_store sqlite:store.db retries=3;
--- error_log eval
qr/\[emerg\] .*invalid parameter "retries=3" in .*:\d+/



=== TEST 14: a password for a file
--- http_config
    tbucket_store sqlite:store.db password_file=/nonexistent;
--- error_log eval
qr/\[emerg\] .*password_file is for Redis, not for a database in a file in /
