# Every wrong configuration is refused with the reason and its place.

use Test::Nginx::Socket;

repeat_each(1);

plan tests => 254;

no_long_string();
log_level('info');

run_tests();

__DATA__

=== TEST 1: a zone without its name and size
--- http_config
    tbucket_zone all rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_zone" must have "zone" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 2: a zone without a rate
--- http_config
    tbucket_zone all zone=z:1m;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_zone" must have "rate" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 3: a zone with only a key
--- http_config
    tbucket_zone all;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "tbucket_zone" directive.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 4: an empty key
--- http_config
    tbucket_zone "" zone=z:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*the key is empty.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 5: a zone without a size
--- http_config
    tbucket_zone all zone=z rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone "z": NAME:SIZE is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 6: a zone with an empty size
--- http_config
    tbucket_zone all zone=z: rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone size "z:".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 7: a zone with a size that is none
--- http_config
    tbucket_zone all zone=z:1x rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone size "z:1x".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 8: a zone that is too small
--- http_config
    tbucket_zone all zone=z:1k rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*zone "z:1k" is too small, the minimum is 32768 bytes.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 9: a zone without a name
--- http_config
    tbucket_zone all zone=:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone name "".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 10: a zone name with other characters
--- http_config
    tbucket_zone all zone=a,b:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone name "a,b": 1 to 64 letters, digits and "\._-" are allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 11: the name of a zone declared before
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*zone "z" is already declared.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 12: the name of another zone, of another size
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_zone all zone=z:2m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*conflicts with already declared size.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 13: the name of another module's zone
--- http_config
    limit_req_zone all zone=z:1m rate=1r/s;
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*is already declared for a different use.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 14: zone= twice
--- http_config
    tbucket_zone all zone=z:1m zone=y:1m rate=1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "zone" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 15: rate= twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s rate=2r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "rate" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 16: capacity= twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=1 capacity=1;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "capacity" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 17: fallback= twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s fallback=a fallback=b;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "fallback" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 18: scope= twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s scope=node scope=node;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "scope" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 19: an empty fallback
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s fallback=;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*the fallback key is empty.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 20: an unknown scope
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s scope=galaxy;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid scope "galaxy".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 21: an unknown parameter
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s burst=5;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "burst=5".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 22: a key that uses an unknown variable
--- http_config
    tbucket_zone $nonsense zone=z:1m rate=1r/s;
--- config
    tbucket zone=z;
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown "nonsense" variable/
--- suppress_stderr



=== TEST 23: tbucket_zone in a server
--- config
    tbucket_zone all zone=z:1m rate=1r/s;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_zone" directive is not allowed here.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 24: rate=5
--- http_config
    tbucket_zone all zone=z:1m rate=5;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 25: rate=5r
--- http_config
    tbucket_zone all zone=z:1m rate=5r;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5r", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 26: rate=r/s
--- http_config
    tbucket_zone all zone=z:1m rate=r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 27: rate=5r/x
--- http_config
    tbucket_zone all zone=z:1m rate=5r/x;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5r\/x", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 28: rate=5r/S
--- http_config
    tbucket_zone all zone=z:1m rate=5r/S;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5r\/S", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 29: rate=-5r/s
--- http_config
    tbucket_zone all zone=z:1m rate=-5r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "-5r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 30: rate=5.r/s
--- http_config
    tbucket_zone all zone=z:1m rate=5.r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5\.r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 31: rate=.5r/s
--- http_config
    tbucket_zone all zone=z:1m rate=.5r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "\.5r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 32: rate=5,5r/s
--- http_config
    tbucket_zone all zone=z:1m rate=5,5r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5,5r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 33: rate=1e3r/s
--- http_config
    tbucket_zone all zone=z:1m rate=1e3r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "1e3r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 34: rate=5r/ss
--- http_config
    tbucket_zone all zone=z:1m rate=5r/ss;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "5r\/ss", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 35: rate=0x5r/s
--- http_config
    tbucket_zone all zone=z:1m rate=0x5r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "0x5r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 36: rate=+5r/s
--- http_config
    tbucket_zone all zone=z:1m rate=+5r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "\+5r\/s", a number followed by r\/s, r\/m, r\/h or r\/d is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 37: an empty rate
--- http_config
    tbucket_zone all zone=z:1m rate=;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid rate "".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 38: rate=0r/s, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=0r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "0r\/s" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 39: rate=0.9r/d, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=0.9r/d;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "0\.9r\/d" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 40: rate=1000001r/s, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=1000001r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "1000001r\/s" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 41: rate=1000000.1r/s, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=1000000.1r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "1000000\.1r\/s" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 42: rate=0.00001r/s, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=0.00001r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "0\.00001r\/s" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 43: rate=99999999999999999999r/s, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=99999999999999999999r/s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "99999999999999999999r\/s" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 44: rate=0.03r/h, which is out of range
--- http_config
    tbucket_zone all zone=z:1m rate=0.03r/h;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*rate "0\.03r\/h" is out of range, 1r\/d to 1000000r\/s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 45: capacity=0
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=0;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "0", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 46: capacity=1000001
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=1000001;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "1000001", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 47: capacity=1.5
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=1.5;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "1\.5", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 48: capacity=-1
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=-1;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "-1", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 49: capacity=x
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=x;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "x", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 50: capacity=
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 51: capacity=1k
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=1k;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "1k", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 52: capacity=99999999999999999999999
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=99999999999999999999999;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid capacity "99999999999999999999999", a whole number from 1 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 53: tbucket without a zone
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket cost=1;
--- must_die
--- error_log eval
qr/\[emerg\] .*must have "zone" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 54: tbucket without anything
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "tbucket" directive.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 55: tbucket of an unknown zone
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=y;
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown zone "y" in "tbucket".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 56: tbucket of an unknown zone, in http
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket zone=y;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown zone "y" in "tbucket".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 57: tbucket of another module's zone
--- http_config
    limit_req_zone all zone=y:1m rate=1r/s;
--- config
    tbucket zone=y;
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown zone "y" in "tbucket".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 58: tbucket with an empty zone
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "zone=".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 59: tbucket with an unknown parameter
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z burst=1;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "burst=1".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 60: tbucket with zone= twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z zone=z;
--- must_die
--- error_log eval
qr/\[emerg\] .*has duplicate "zone" parameter.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 61: tbucket with too many parameters
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=1 cost=1;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "tbucket" directive.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 62: tbucket for the same zone twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z;
    tbucket zone=z cost=2;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket zone=z" is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 63: tbucket off and a limit
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket off;
    tbucket zone=z;
--- must_die
--- error_log eval
qr/\[emerg\] .*is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 64: a limit and tbucket off
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z;
    tbucket off;
--- must_die
--- error_log eval
qr/\[emerg\] .*is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 65: tbucket off twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket off;
    tbucket off;
--- must_die
--- error_log eval
qr/\[emerg\] .*is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 66: tbucket off with a parameter
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket off zone=z;
--- must_die
--- error_log eval
qr/\[emerg\] .*no more parameters after "off".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 67: tbucket on
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket on;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "on".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 68: tbucket in an if block
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    location /a { if ($arg_x) { tbucket zone=z; } }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket" directive is not allowed here.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 69: tbucket in a limit_except block
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    location /a { limit_except GET { tbucket zone=z; } }
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket" directive is not allowed here.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 70: cost=-1
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=-1;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "-1", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 71: cost=x
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=x;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "x", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 72: cost=
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 73: cost=1000001
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=1000001;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "1000001", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 74: cost=0.0001
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=0.0001;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "0\.0001", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 75: cost=1.
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=1.;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "1\.", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 76: cost=1e3
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=1e3;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid cost "1e3", 0 or a number from 0\.001 to 1000000 is expected.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 77: a cost with an unknown variable
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=$nonsense;
--- must_die
--- error_log eval
qr/\[emerg\] .*unknown "nonsense" variable/
--- suppress_stderr



=== TEST 78: tbucket_status 399
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 399;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 399 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 79: tbucket_status 600
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 600;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 600 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 80: tbucket_status 200
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 200;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 200 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 81: tbucket_status 408
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 408;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 408 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 82: tbucket_status 444
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 444;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 444 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 83: tbucket_status 494
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 494;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 494 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 84: tbucket_status 495
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 495;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 495 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 85: tbucket_status 496
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 496;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 496 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 86: tbucket_status 497
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 497;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 497 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 87: tbucket_status 498
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 498;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 498 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 88: tbucket_status 499
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 499;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 499 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 89: tbucket_status 0
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 0;
--- must_die
--- error_log eval
qr/\[emerg\] .*status 0 is not allowed, it must be 400 to 599 and not 408, 444 or 494 to 499.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 90: tbucket_status x
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status x;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 91: tbucket_status -429
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status -429;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 92: tbucket_status 4.29
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 4.29;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 93: tbucket_headers on
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_headers on;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "on".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 94: tbucket_headers IETF2
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_headers IETF2;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "IETF2".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 95: tbucket_log_level debug
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_log_level debug;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "debug".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 96: tbucket_log_level crit
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_log_level crit;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "crit".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 97: tbucket_dry_run yes
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_dry_run yes;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "yes" in "tbucket_dry_run" directive, it must be "on" or "off".* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 98: tbucket_ipv6_prefix 0
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_ipv6_prefix 0;
--- must_die
--- error_log eval
qr/\[emerg\] .*value must be between 1 and 128.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 99: tbucket_ipv6_prefix 129
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_ipv6_prefix 129;
--- must_die
--- error_log eval
qr/\[emerg\] .*value must be between 1 and 128.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 100: tbucket_ipv6_prefix x
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_ipv6_prefix x;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 101: tbucket_refill 9ms
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 9ms;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*is out of range, 10ms to 10s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 102: tbucket_refill 10001ms
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 10001ms;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*is out of range, 10ms to 10s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 103: tbucket_refill 11s
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 11s;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*is out of range, 10ms to 10s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 104: tbucket_refill 0
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 0;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*is out of range, 10ms to 10s is allowed.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 105: tbucket_refill that is no time
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill x;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 106: tbucket_refill in a server
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_refill 10ms;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_refill" directive is not allowed here.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 107: tbucket_status twice in one place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_status 429;
    tbucket_status 429;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_status" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 108: tbucket_headers twice in one place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_headers off;
    tbucket_headers off;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_headers" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 109: tbucket_log_level twice in one place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_log_level info;
    tbucket_log_level info;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_log_level" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 110: tbucket_dry_run twice in one place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_dry_run on;
    tbucket_dry_run on;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_dry_run" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 111: tbucket_ipv6_prefix twice in one place
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    tbucket_ipv6_prefix 64;
    tbucket_ipv6_prefix 64;
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_ipv6_prefix" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 112: tbucket_refill twice
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 10ms;
    tbucket_refill 10ms;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"tbucket_refill" directive is duplicate.* in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 113: every directive where it belongs
--- http_config
    tbucket_zone $http_x_api_key zone=a:32k rate=1r/d capacity=1000000 fallback=$tbucket_addr scope=node;
    tbucket_zone $tbucket_addr$uri zone=b:1m rate=0.001r/s;
    tbucket_refill 10ms;
    tbucket zone=a;
    tbucket_status 400;
    tbucket_headers legacy;
    tbucket_log_level info;
    tbucket_dry_run on;
    tbucket_ipv6_prefix 1;
--- config
    tbucket zone=a cost=0.001;
    tbucket zone=b cost=1000000;
    tbucket_status 599;
    tbucket_headers off;
    tbucket_log_level error;
    tbucket_dry_run off;
    tbucket_ipv6_prefix 128;
    location = /t {
        tbucket off;
        tbucket_status 429;
        tbucket_headers ietf;
        tbucket_log_level notice;
        tbucket_ipv6_prefix 64;
        alias html/index.html;
    }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 114: a zone may be used before it is declared
--- http_config
    tbucket zone=z;
    tbucket_zone all zone=z:1m rate=1r/s;
    tbucket_refill 10s;
--- config
    location = /t { alias html/index.html; }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 115: a zone need not be used
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s;
--- config
    location = /t { alias html/index.html; }
--- request
GET /t
--- response_body_like: works
--- no_error_log
[emerg]
[alert]



=== TEST 116: a limit for all gateways without a store
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s scope=global;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"scope=global" of zone "z" needs a "tbucket_store" of Redis in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 117: a limit for all gateways with a database in a file
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s scope=global;
    tbucket_store sqlite:store.db;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"scope=global" of zone "z" needs a "tbucket_store" of Redis in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 118: a limit for all gateways in a small zone
--- http_config
    tbucket_zone all zone=z:32k rate=1r/s scope=global;
    tbucket_store redis://127.0.0.1;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*zone "z" is too small, the minimum for "scope=global" is 65536 bytes in \S+nginx\.conf:\d+$/
--- suppress_stderr



=== TEST 119: a key that the response gives a value to
--- http_config
    tbucket_zone "$arg_a${upstream_http_x_user}" zone=z:1m rate=1r/s;
--- config
    tbucket zone=z;
--- request
GET /
--- error_log eval
qr/\[warn\] .*variable "\$upstream_http_x_user" of the key is not known yet when a request is checked in \S+nginx\.conf:\d+$/
--- no_error_log
"$arg_a"



=== TEST 120: a fallback and a cost that are not known yet
--- http_config
    tbucket_zone $http_x fallback=$Sent_http_x zone=z:1m rate=1r/s;
--- config
    tbucket zone=z cost=$request_body;
--- request
GET /
--- error_log eval
[qr/\[warn\] .*variable "\$Sent_http_x" of the key is not known/,
 qr/\[warn\] .*variable "\$request_body" of the cost is not known/]



=== TEST 121: variables that are known, though some look alike
--- http_config
    tbucket_zone $remote_user$request_method$upstream_http zone=z:1m rate=1r/s;
--- config
    set $upstream_http x;
    set $upstream_pool x;
    tbucket zone=z cost=$upstream_pool;
--- request
GET /
--- no_error_log
is not known yet



=== TEST 122: a constant cost above the capacity
--- http_config
    tbucket_zone all zone=z:1m rate=1r/s capacity=10;
    tbucket_zone all zone=y:1m rate=1r/s capacity=20;
--- config
    tbucket zone=z cost=20;
    location /y { tbucket zone=y cost=20; }
--- request
GET /
--- error_code: 429
--- error_log eval
[qr/\[warn\] .*the "cost" is above the capacity of zone "z", 10: only clients with a larger one of their own will ever pass in \S+nginx\.conf:\d+/,
 qr/request rejected by zone "z", client hash [0-9a-f]{16}, next never/]
--- no_error_log
capacity of zone "y"
