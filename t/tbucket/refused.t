# Every wrong configuration of the limiter is refused, with the reason and its
# place.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Refused;
use Test::More;

# tbucket_zone

refused('%s',
    'tbucket_zone all rate=1r/s;'
        => '"tbucket_zone" must have "zone" parameter',
    'tbucket_zone all zone=z:1m;'
        => '"tbucket_zone" must have one of "rate", "quota" and "inflight" '
           . 'parameters',
    'tbucket_zone all zone=z:1m rate=1r/s quota=5/day;'
        => 'must have one of "rate", "quota" and "inflight"',
    'tbucket_zone all zone=z:1m quota=5/day inflight=5;'
        => 'must have one of "rate", "quota" and "inflight"',
    'tbucket_zone all;'
        => 'invalid number of arguments in "tbucket_zone" directive',
    'tbucket_zone "" zone=z:1m rate=1r/s;' => 'the key is empty',
    'tbucket_zone $nonsense zone=z:1m rate=1r/s; tbucket zone=z;'
        => qr/\[emerg\] .*unknown "nonsense" variable/,
    'server { tbucket_zone all zone=z:1m rate=1r/s; }'
        => '"tbucket_zone" directive is not allowed here',
    'limit_req_zone all zone=z:1m rate=1r/s;
     tbucket_zone all zone=z:1m rate=1r/s;'
        => 'is already declared for a different use',
);

refused('tbucket_zone all rate=1r/s zone=%s;',
    'z'     => 'invalid zone "z": NAME:SIZE is expected',
    'z:'    => 'invalid zone size "z:"',
    'z:1x'  => 'invalid zone size "z:1x"',
    'z:1k'  => 'zone "z:1k" is too small, the minimum is 32768 bytes',
    ':1m'   => 'invalid zone name ""',
    'a,b:1m' => 'invalid zone name "a,b": 1 to 64 letters, digits and "._-" '
                . 'are allowed',
);

refused('tbucket_zone all zone=z:1m rate=1r/s; %s',
    'tbucket_zone all zone=z:1m rate=1r/s;' => 'zone "z" is already declared',
    'tbucket_zone all zone=z:2m rate=1r/s;'
        => 'conflicts with already declared size',
);

refused('tbucket_zone all zone=z:1m rate=1r/s %s;',
    'zone=y:1m'               => 'has duplicate "zone" parameter',
    'rate=2r/s'               => 'has duplicate "rate" parameter',
    'capacity=1 capacity=1'   => 'has duplicate "capacity" parameter',
    'fallback=a fallback=b'   => 'has duplicate "fallback" parameter',
    'scope=node scope=node'   => 'has duplicate "scope" parameter',
    'fallback='               => 'invalid value "" of "fallback" in '
                                 . '"tbucket_zone", it must be at least one '
                                 . 'character',
    'scope=galaxy'            => 'invalid value "galaxy" of "scope" in '
                                 . '"tbucket_zone", it must be "node" or '
                                 . '"global"',
    'burst=5'                 => 'invalid parameter "burst=5" in '
                                 . '"tbucket_zone", it must be "zone=", '
                                 . '"rate=", "capacity=", "quota=", "tz=", '
                                 . '"inflight=", "fallback=", "known=", '
                                 . '"unit=" or "scope="',
    'known=maybe'             => 'invalid value "maybe" of "known" in '
                                 . '"tbucket_zone", it must be "required"',
    'known=required known=required' => 'has duplicate "known" parameter',
    'tz=UTC'                  => '"tz" in "tbucket_zone" goes with "quota" '
                                 . 'only',
    map({ ("unit=$_" => qq(invalid value "$_" of "unit" in "tbucket_zone", )
                        . 'it must be from 1 to 1000') }
        qw(0 1001 1.5 -1 x), ''),
    'unit=10 capacity=15'     => 'invalid value "15" of "capacity" in '
                                 . '"tbucket_zone", it must be from 10 to '
                                 . '10000000, a multiple of "unit"',
    'unit=10 capacity=10000010' => 'it must be from 10 to 10000000',
    map({ ("capacity=$_" => qq(invalid value "$_" of "capacity" in )
                            . '"tbucket_zone", it must be from 1 to 1000000') }
        qw(0 1000001 1.5 -1 x 1k 99999999999999999999999), ''),
);

refused('tbucket_zone all zone=z:1m rate=%s;',
    map({ ($_ => qq(invalid value "$_" of "rate" in "tbucket_zone", it must )
                 . 'be a number followed by r/s, r/m, r/h or r/d, from 1r/d to '
                 . '1000000r/s') }
        qw(5 5r r/s 5r/x 5r/S -5r/s 5.r/s .5r/s), '5,5r/s',
        qw(1e3r/s 5r/ss 0x5r/s +5r/s)),
    map({ ($_ => qq(invalid value "$_" of "rate" in "tbucket_zone", it must )
                 . 'be a number followed by r/s, r/m, r/h or r/d, from 1r/d to '
                 . '1000000r/s') }
        '', qw(0r/s 0.9r/d 1000001r/s 1000000.1r/s 0.00001r/s
           99999999999999999999r/s 0.03r/h)),
);

refused('tbucket_zone all zone=z:1m unit=1000 rate=%s;',
    map { ($_ => qq(invalid value "$_" of "rate" in "tbucket_zone", it must )
                 . 'be a number followed by r/s, r/m, r/h or r/d, from 100r/d '
                 . 'to 1000000000r/s') }
        qw(1000000001r/s 0r/s 1r/d)
);

# quota and inflight

refused('tbucket_zone all zone=z:1m quota=%s;',
    map({ ($_ => qq(invalid value "$_" of "quota" in "tbucket_zone", it )
                 . 'must be a number from 1 to 1000000, followed by /hour, '
                 . '/day, /week or /month') }
        qw(5 5/ /day 5/year 5/days 5/Day 0/day 1000001/day -5/day 5.5/day
           5r/d 5/day/day 99999999999999999999999/day)),
    ''                => 'invalid value "" of "quota"',
    '5/day capacity=5' => '"capacity" in "tbucket_zone" goes with "rate" only',
    '5/day scope=global' => '"scope=global" of zone "z" needs a '
                            . '"tbucket_store" of Redis',
    '5/day unit=10'   => 'it must be a number from 10 to 10000000, a multiple '
                         . 'of "unit", followed by /hour',
    '5/day quota=5/day' => 'has duplicate "quota" parameter',
    map({ ("5/day tz=$_" => qq(invalid value "$_" of "tz" in )
                            . '"tbucket_zone", it must be a time zone such '
                            . 'as "Europe/Berlin"') }
        qw(../UTC Europe//Berlin /etc/localtime Europe/ UTC%00 Europe/Ber.lin),
        'a b' =~ s/ //r . ':'),
    '5/day tz='        => 'invalid value "" of "tz"',
    '5/day tz=Europe'  => '"/usr/share/zoneinfo/Europe" is no file of the tz '
                          . 'database',
    '5/day tz=Mars/City' => 'open() "/usr/share/zoneinfo/Mars/City" failed '
                            . '(2: No such file or directory)',
);

refused('tbucket_zone all zone=z:1m inflight=%s;',
    map({ ($_ => qq(invalid value "$_" of "inflight" in "tbucket_zone", it )
                 . 'must be from 1 to 1000000') }
        qw(0 1000001 1.5 -1 x), ''),
    '5 inflight=5'   => 'has duplicate "inflight" parameter',
    '5 capacity=5'   => '"capacity" in "tbucket_zone" goes with "rate" only',
    '5 tz=UTC'       => '"tz" in "tbucket_zone" goes with "quota" only',
    '5 unit=10'      => '"unit" in "tbucket_zone" goes with "rate" or "quota" '
                        . 'only',
    '5 scope=global' => '"scope=global" of zone "z" needs a "tbucket_store" '
                        . 'of Redis',
);

# shards

refused('tbucket_zone all zone=z:1m rate=1r/s; tbucket_store %s;',
    (map { ("redis://h shards=$_" => "invalid shards \"$_\", a power of two "
                                     . 'from 1 to 256 is expected') }
     qw(0 3 512 -1 x 1.5 4x 6)),
    'redis://h shards=' => 'invalid parameter "shards="',
    'redis://h shards=2 shards=2' => 'duplicate "shards" parameter',
    'sqlite:store.db shards=2' => 'invalid parameter "shards=2"',
);

refused('tbucket_store redis://h shards=256; %s',
    'tbucket_zone all zone=z:1m rate=1r/s;'
        => 'zone "z" of 1048576 bytes is too small for "shards=256" of '
           . '"tbucket_store"',
    'tbucket_zone all zone=z:2m rate=1r/s scope=global;'
        => 'zone "z" of 2097152 bytes is too small for "shards=256" of '
           . '"tbucket_store"',
);

refused('tbucket_zone all zone=z:%s inflight=1;',
    '32k' => 'zone "z" is too small, the minimum for "inflight" is 65536 bytes',
);

# scope=global

refused('tbucket_zone all zone=z:1m rate=1r/s scope=global; %s',
    map { ($_ => '"scope=global" of zone "z" needs a "tbucket_store" of Redis')
    } '', 'tbucket_store sqlite:store.db;'
);

refused('%s tbucket_store redis://127.0.0.1;',
    'tbucket_zone all zone=z:64k inflight=1 scope=global;'
        => 'zone "z" is too small, the minimum for "scope=global" is 131072 ',
    'tbucket_zone all zone=z:32k rate=1r/s scope=global;'
        => 'zone "z" is too small, the minimum for "scope=global" is 65536 '
           . 'bytes',
);

# tbucket

my $server = 'tbucket_zone all zone=z:1m rate=1r/s; server { %s }';

refused($server,
    'tbucket cost=1;'       => 'must have "zone" parameter',
    'tbucket;' => 'invalid number of arguments in "tbucket" directive',
    map({ ("tbucket zone=z $_ $_;" => 'has duplicate "' . s/=.*//r
           . '" parameter') }
        'cost=1', 'settle=1', 'wait=1s', 'penalty=1', 'after=access',
        'plan=a', 'dry_run'),
    'tbucket zone=y;'       => 'unknown zone "y" in "tbucket"',
    'tbucket zone=;'        => 'invalid value "" of "zone" in "tbucket"',
    'tbucket zone=z burst=1;' => 'invalid parameter "burst=1"',
    'tbucket zone=z zone=z;'  => 'has duplicate "zone" parameter',
    'tbucket zone=z; tbucket zone=z cost=2;'
        => '"tbucket zone=z" is duplicate',
    'tbucket off; tbucket zone=z;' => 'is duplicate',
    'tbucket zone=z; tbucket off;' => 'is duplicate',
    'tbucket off; tbucket off;'    => 'is duplicate',
    'tbucket off zone=z;'   => 'no more parameters after "off"',
    'tbucket on;'           => 'invalid parameter "on"',
    'location /a { if ($arg_x) { tbucket zone=z; } }'
        => '"tbucket" directive is not allowed here',
    'location /a { limit_except GET { tbucket zone=z; } }'
        => '"tbucket" directive is not allowed here',
    map({ ("tbucket zone=z cost=$_;" => qq(invalid value "$_" of "cost" in )
           . '"tbucket", it must be 0 or a number from 0.001 to 1000000') }
        qw(-1 x 1000001 0.0001 1. 1e3), ''),
    map({ ("tbucket zone=z $_=\$nonsense;"
           => qr/\[emerg\] .*unknown "nonsense" variable/) }
        qw(cost settle plan)),
    map({ my $name = $_;
          map({ ("tbucket zone=z $name=$_;"
                 => qq(invalid value "$_" of "$name" in "tbucket", it must be )
                    . '0 or a number from 0.001 to 1000000') }
              qw(-1 x 1000001 0.0001 1. 1e3), '') } qw(settle penalty)),
    'tbucket zone=z penalty=$arg_x;'
        => 'invalid value "$arg_x" of "penalty" in "tbucket", it must be 0 or '
           . 'a number from 0.001 to 1000000',
    map({ ("tbucket zone=z wait=$_;" => qq(invalid value "$_" of "wait" in )
           . '"tbucket", it must be from 1ms to 1h') }
        qw(0 0s 61m -1 x 2h $arg_x), ''),
    map({ ("tbucket zone=z after=$_;" => qq(invalid value "$_" of "after" in )
           . '"tbucket", it must be "access"') } qw(content 1), ''),
    map({ (qq(tbucket zone=z "plan=$_";) => qq(invalid value "$_" of "plan" in )
           . '"tbucket", it must be 1 to 64 visible ASCII characters, or have '
           . 'variables') }
        '', 'a b', "\xc3\xa9", 'x' x 65),
    'tbucket zone=z dry_run=on;' => 'invalid parameter "dry_run=on"',
    'tbucket zone=z; tbucket zone=z after=access;'
        => '"tbucket zone=z" is duplicate',
    'tbucket off after=access;' => 'no more parameters after "off"',
);

refused('%s',
    'tbucket zone=y;' => 'unknown zone "y" in "tbucket"',
    'limit_req_zone all zone=y:1m rate=1r/s; tbucket zone=y;'
        => 'unknown zone "y" in "tbucket"',
);

# what is charged beside a decision, by what limits the zone

my $charged = 'tbucket_zone all zone=z:1m %s; server { tbucket zone=z %s; }';

refused(sprintf($charged, 'inflight=5', '%s'),
    map { ($_ => '"' . s/=.*//r . '" does not go with "inflight" of zone "z"') }
    qw(settle=1 settle=$arg_a wait=1s penalty=1)
);

refused(sprintf($charged, 'quota=5/day', '%s'),
    'wait=1s' => '"wait" does not go with "quota" of zone "z"',
    'settle=1 penalty=1 wait=1s' => '"wait" does not go with "quota"',
);

# tbucket_api of plans

refused("tbucket_zone all zone=z:1m rate=1r/s;
         server { location /plans { %s } }",
    'tbucket_api plans;' => '"tbucket_api" must have "zone" parameter',
    'tbucket_api zone=y plans;' => 'unknown zone "y" in "tbucket_api"',
    'tbucket_api zone=z plans plans;' => 'has duplicate "plans" parameter',
    'tbucket_api zone=z plans=on;' => 'invalid parameter "plans=on" in '
                                      . '"tbucket_api"',
    'tbucket_api zone=z plan;' => 'invalid parameter "plan" in "tbucket_api", '
                                  . 'it must be "zone=", "plans" or "write="',
    'tbucket_api zone=z plans write=yes;'
        => 'invalid value "yes" of "write" in "tbucket_api"',
    'tbucket_api zone=z plans; tbucket_api zone=z;'
        => '"tbucket_api" directive is duplicate',
);

refused('tbucket_zone all zone=z:1m rate=1r/s; %s',
    'server { tbucket_api zone=z plans; }'
        => '"tbucket_api" directive is not allowed here',
    'server { location ~ ^/plans { tbucket_api zone=z plans; } }'
        => '"tbucket_api" directive cannot be in a location given by a',
);

# What goes with it.

refused($server,
    map({ ("tbucket_status $_;" => "status $_ is not allowed, it must be 400 "
           . 'to 599 and not 408, 444 or 494 to 499') }
        399, 600, 200, 408, 444, 494 .. 499, 0),
    map({ ("tbucket_status $_;" => 'invalid number') } qw(x -429 4.29)),
    map({ ("tbucket_headers $_;" => qq(invalid value "$_")) } qw(on IETF2)),
    map({ ("tbucket_log_level $_;" => qq(invalid value "$_")) }
        qw(debug crit)),
    'tbucket_subrequests yes;' => 'invalid value "yes" in '
                                  . '"tbucket_subrequests" directive, it must '
                                  . 'be "on" or "off"',
    'tbucket_usage yes;' => 'invalid value "yes" in "tbucket_usage" '
                            . 'directive, it must be "on" or "off"',
    'tbucket_dry_run yes;' => 'invalid value "yes" in "tbucket_dry_run" '
                              . 'directive, it must be "on" or "off"',
    'tbucket_body xml;' => 'invalid value "xml" in "tbucket_body", it must be '
                           . '"json" or "problem"',
    map({ ("tbucket_ipv6_prefix $_;" => 'value must be between 1 and 128') }
        0, 129),
    'tbucket_ipv6_prefix x;' => 'invalid number',
    'tbucket_refill 10ms;' => '"tbucket_refill" directive is not allowed here',
    map({ ("$_; $_;" => '"' . s/ .*//r . '" directive is duplicate') }
        'tbucket_status 429', 'tbucket_headers off', 'tbucket_log_level info',
        'tbucket_dry_run on', 'tbucket_ipv6_prefix 64',
        'tbucket_subrequests on', 'tbucket_usage on'),
);

refused('tbucket_zone all zone=z:1m rate=1r/s; %s',
    map({ ("tbucket_refill $_;" => 'is out of range, 10ms to 10s is allowed') }
        qw(9ms 10001ms 11s 0)),
    'tbucket_refill x;' => 'invalid value',
    'tbucket_refill 10ms; tbucket_refill 10ms;'
        => '"tbucket_refill" directive is duplicate',
);

# tbucket_store

refused('tbucket_zone all zone=z:64k rate=1r/h; tbucket_store %s;',
    'sqlite:store.db; tbucket_store sqlite:store.db'
        => '"tbucket_store" directive is duplicate',
    'mongo://user:secret@host'
        => qr/\[emerg\] unknown scheme "mongo" of the store's URL in [^@]*$/m,
    'store' => q(the store's URL has no scheme),
);

refused('tbucket_zone all zone=z:64k rate=1r/h; tbucket_store sqlite:s.db %s;',
    map({ ("interval=$_" => qq(invalid interval "$_", a time from 100ms to 1h )
                            . 'is expected') } qw(99ms 61m often)),
    'interval=1s interval=1s' => 'duplicate "interval" parameter',
    'timeout=61s' => 'invalid timeout "61s", a time from 10ms to 60s is '
                     . 'expected',
    '"prefix=a{b}"' => 'invalid prefix "a{b}": 1 to 64 letters, digits and '
                       . '"._:-"',
    'prefix='       => 'invalid prefix "": 1 to 64 letters',
    'node=a node=b' => 'duplicate "node" parameter',
    'password_file=/nonexistent'
        => 'invalid parameter "password_file=/nonexistent" of a database',
    'retries=3'     => 'invalid parameter "retries=3"',
);

done_testing();
