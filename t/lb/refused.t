# Every wrong configuration of the balancer is refused, with the reason and
# its place.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Refused;
use Test::More;

my $upstream = 'upstream u { %s server 127.0.0.1:1; }
                server { location / { proxy_pass http://u; } }';
my $balanced = $upstream =~ s/%s/lb random; %s/r;

# lb

refused($upstream,
    map({ ("lb $_;" => qq(unknown method "$_" in "lb", it must be )
                       . '"round_robin", "least_conn", "random", "p2c", '
                       . '"least_time", "hash" or "ip_hash"') }
        qw(fastest least_tim random2)),
    'lb;' => 'invalid number of arguments in "lb" directive',
    map({ ("lb $_ two;" => qq(invalid parameter "two", "lb $_" takes none)) }
        qw(round_robin least_conn p2c)),
    'lb ip_hash two;' => 'invalid parameter "two" in "lb ip_hash", it must be '
                         . 'none',
    'lb random three;' => 'invalid parameter "three" in "lb random", it must '
                          . 'be "two"',
    map({ ("lb random two $_;" => 'in "lb random", it must be "least_conn", '
                                  . '"least_time=header" or '
                                  . '"least_time=last_byte", one of them') }
        'least_time', 'round_robin', 'least_conn least_conn'),
    map({ ("lb least_time $_;" => 'in "lb least_time", it must be "header" or '
                                  . '"last_byte", then "inflight"') }
        'body', 'header last_byte', 'inflight header', 'inflight inflight'),
    map({ ("lb hash $_;" => '"lb hash" must have one key') } '', '""'),
    map({ ("lb hash \$uri $_;" => 'in "lb hash", it must be "consistent", '
                                  . '"ketama" or "bound=C", each once') }
        'two', 'consistent consistent', 'bound=2 bound=2', 'ketama ketama'),
    map({ ("lb hash \$uri $_;" => 'it must be "bound=" a number between 1 and '
                                  . '100') }
        'bound=0.99', 'bound=101', 'bound=', 'bound=1.255'),
    'lb hash $nothing;' => qr/\[emerg\] unknown "nothing" variable/,
    'lb round_robin; lb round_robin;' => '"lb" directive is duplicate',
    map({ ("$_; lb round_robin;" => '"lb" cannot follow another balancing '
                                    . 'method') } qw(least_conn random)),
    map({ ("lb round_robin; $_;" => 'another balancing method follows "lb" in '
                                    . 'upstream "u"') }
        'least_conn', 'ip_hash', 'hash $uri'),
    map({ ($_ => '"zone" cannot be used together with "lb" in upstream "u", '
                 . 'use "lb_zone"') }
        'lb round_robin; zone u 64k;', 'zone u 64k; lb round_robin;'),
);

refused('%s',
    'lb round_robin;' => '"lb" directive is not allowed here',
    'server { lb round_robin; }' => '"lb" directive is not allowed here',
    'server { lb_health_check; }'
        => '"lb_health_check" directive is not allowed here',
    'upstream u { lb round_robin; server 127.0.0.1:1 backup; }
     server { location / { proxy_pass http://u; } }'
        => '1 servers, 1 of them backup, in upstream "u"',
    'upstream u { lb round_robin; }' => 'no servers are inside upstream',
);

# lb_resolve

my $named = 'resolver 127.0.0.1:1; upstream u { lb round_robin; %s }
             server { location / { proxy_pass http://u; } }';

refused($named,
    map({ ("lb_resolve $_;" => qr/" in "lb_resolve", it must be a host /) }
        '127.0.0.1', '127.0.0.1:80', '[::1]:80', 'unix:/x', 'a.test:0',
        'a.test:65536', 'a.test:x', 'a.test:80/x', ':80', '""', 'a' x 254,
        '$x', '"a b"', '*.a.test',
        'a.test:80 service=http'),
    'lb_resolve;' => 'invalid number of arguments in "lb_resolve"',
    'lb_resolve a b;' => 'invalid parameter "b" in "lb_resolve", it must be '
                         . '"service=", "weight=", "max_conns="',
    map({ ("lb_resolve a weight=$_;" => 'in "lb_resolve", it must be from 1 '
                                        . 'to 2147483647') } '0', '', 'x'),
    'lb_resolve a fail_timeout=x;' => 'it must be a time up to 2147483647',
    map({ ("lb_resolve a service=$_;" => 'it must be from 1 to 128 letters, '
                                         . 'digits, "-", "_" and "."') }
        '', '"a b"', 'a' x 129),
    'lb_resolve a weight=1 weight=2;' => '"lb_resolve" directive has '
                                         . 'duplicate "weight" parameter',
    'lb_resolve a; lb_resolve A;' => 'name "A" is there twice in upstream "u"',
    'lb_resolve localhost:1; server localhost:1;'
        => 'name "localhost:1" is there twice in upstream "u"',
    'lb_resolve a backup;' => '1 servers, 1 of them backup, in upstream "u"',
);

refused($named =~ s/resolver 127.0.0.1:1;//r,
    'lb_resolve a;' => 'no "resolver" in http{} to look up names of upstream '
                       . '"u"');

refused($upstream,
    'lb_resolve a;' => '"lb_resolve" without "lb" in upstream "u"');

refused($upstream,
    'lb round_robin; lb_keepalive 4; keepalive 4;'
        => '"keepalive" cannot be used together with "lb_keepalive" in '
           . 'upstream "u", remove it or set "lb_keepalive 0"');

refused($upstream,
    'sticky cookie c; lb round_robin;'
        => '"lb" cannot follow another balancing method')
    if version() ge v1.29.6;

# Directives that need lb, and stand once.

refused($upstream,
    map { my $name = s/ .*//r;
          ("$_;" => qq("$name" without "lb" in upstream "u"),
           "lb random; $_; $_;" => qq("$name" directive is duplicate)) }
        'lb_zone 1m', 'lb_slow_start 1s', 'lb_panic 50', 'lb_outlier errors=1',
        'lb_retry_budget 20%', 'lb_sticky cookie c',
        'lb_health_check',
);

# lb_sticky

refused($balanced =~ s/%s/lb_sticky %s;/r,
    map({ ($_ => 'invalid number of arguments in "lb_sticky" directive') }
        '', 'cookie', 'route', 'learn'),
    'header x' => 'invalid parameter "header" in "lb_sticky", it must be '
                  . '"cookie", "route" or "learn"',
    map({ ("cookie $_" => 'it must be a name') } '""', 'a=b', 'a-b', '"a b"'),
    map({ ("cookie c $_" => '"expires=" a time of 1s or more, or max') }
        'expires=soon', 'expires=0', 'expires='),
    map({ ("cookie c $_" => '"samesite=" strict, lax or none') }
        'samesite=', 'samesite=Lax'),
    map({ ("cookie c $_" => 'without spaces, ";" and control characters') }
        '"path=/;secure"', '"domain=a b"'),
    map({ ("cookie c $_" => '"secure" or "samesite=", each once') }
        'secure secure', 'httponly=1', 'size=1m', 'path=/ path=/'),
    'route $nothing' => qr/\[emerg\] unknown "nothing" variable/,
    map({ ("learn $_" => '"lb_sticky" directive must have "create=" and '
                         . '"lookup="') } 'create=$uri', 'lookup=$uri'),
    map({ ("learn create=\$uri lookup=\$uri $_" => '"size=" or "timeout=", each '
                                                   . 'once') }
        'create=$uri', 'domain=x'),
    'learn create=$uri lookup=$uri size=63k' => '"size=" 64k or more',
    'learn create=$uri lookup=$uri timeout=0' => '"timeout=" a time of 1ms or '
                                                 . 'more',
);


# lb_retry_budget

refused($balanced,
    map({ ("lb_retry_budget $_;" => qq(invalid percentage "$_" in )
                                    . '"lb_retry_budget", it must be from 0% '
                                    . 'to 100%') } qw(101 -1 x)),
    map({ ("lb_retry_budget 5 min=$_;" => qq(invalid value "$_" of "min" in )
                                          . '"lb_retry_budget", it must be '
                                          . 'from 0/s to 1000000/s') }
        '', qw(5 /s 1000001/s x/s)),
    map({ ("lb_retry_budget 5 window=$_;" => qq(invalid value "$_" of "window" )
                                             . 'in "lb_retry_budget", it must '
                                             . 'be from 1s to 1h') }
        '', qw(999ms 2h)),
    'lb_retry_budget 5 max=1/s;'
        => 'invalid parameter "max=1/s" in "lb_retry_budget", it must be '
           . '"min=" or "window="',
    'lb_retry_budget 5 window=1s window=1s;'
        => '"lb_retry_budget" directive has duplicate "window" parameter',
    'lb_retry_budget 5; lb_retry_budget 5;'
        => '"lb_retry_budget" directive is duplicate',
);


# lb_zone, lb_slow_start, lb_panic

refused($balanced,
    map({ ("lb_zone $_;" => qq(invalid size "$_" in "lb_zone", it must be at )
                            . 'least 64k') } qw(many 63k)),
    'lb_zone 64k; ' . join(' ', map { "server 127.0.0.1:$_;" } 2 .. 60)
        => qr/\[emerg\] "lb_zone" of 64k in upstream "u" has room for \d+ (?#
             )servers, not for 60; \d+k is enough in \S+nginx\.conf:\d+$/m,
    map({ ("lb_slow_start $_;" => qq(invalid time "$_" in "lb_slow_start", it )
                                  . 'must be from 0 to 1d') }
        qw(soon 2d)),
    map({ ("lb_panic $_;" => qq(invalid percentage "$_" in "lb_panic", it )
                             . 'must be from 0% to 100%') } qw(101 %)),
);

# lb_outlier

refused($balanced =~ s/%s/lb_outlier %s;/r,
    '' => 'invalid number of arguments in "lb_outlier" directive',
    'window=1s' => '"lb_outlier" must have "errors" parameter',
    map({ ("errors=$_" => qq(invalid value "$_" of "errors" in "lb_outlier", )
                          . 'it must be from 1 to 1000000') }
        '', qw(0 1000001 many)),
    'errors=1 window=0' => 'invalid value "0" of "window" in "lb_outlier", it '
                           . 'must be from 1ms to 1d',
    'errors=1 ejection=25h' => 'invalid value "25h" of "ejection" in '
                               . '"lb_outlier", it must be from 1ms to 1d',
    'errors=1 max_ejected=200%' => 'invalid value "200%" of "max_ejected" in '
                                   . '"lb_outlier", it must be from 0% to 100%',
    'errors=1 status=500'
        => 'invalid parameter "status=500" in "lb_outlier", it must be '
           . '"errors=", "window=", "ejection=" or "max_ejected="',
    'errors=1 window=1s window=1s'
        => '"lb_outlier" directive has duplicate "window" parameter',
);

# lb_health_check

my %wrong = (
    'from 10ms to 1d' => [map { my $name = $_;
                                map { "$name=$_" } qw(0 9ms 2d fast), '' }
                          qw(interval timeout)],
    'from 1 to 1000' => [map { my $name = $_;
                               map { "$name=$_" } qw(0 1001 -1 two) }
                         qw(rise fall)],
    'from 0% to 100%' => [map { "jitter=$_" } qw(% 101% x%)],
    'from 1 to 65535' => [map { "port=$_" } qw(0 65536 http)],
    '"/" and at most 2047 more characters'
        => [map { "uri=$_" } '', 'healthz', ' /a b'],
    '"GET", "HEAD" or "OPTIONS"' => [map { "method=$_" } qw(get POST)],
    'from 1 to 255 characters, without spaces' => [map { "host=$_" } '', 'a b'],
    'at most 16 codes or ranges from 100 to 599'
        => [map { "status=$_" } '', '200,', qw(20 600 300-200 200- 2xx)],
    'from 1 to 255 bytes' => ['body='],
    'at most 32 of "NAME: VALUE"'
        => [map { "header=$_" } '', 'X', ': x', 'X Y: z', 'Host: x',
            'connection: x', "X: \x01"],
);

for my $range (sort keys %wrong) {
    refused($balanced =~ s/%s/lb_health_check "%s";/r,
        map { my ($name, $value) = /^(\w+)=(.*)/;
              ($_ => qq(invalid value "$value" of "$name" in )
                     . qq("lb_health_check", it must be $range)) }
            @{ $wrong{$range} });
}

refused($balanced =~ s/%s/lb_health_check %s;/r,
    map({ ($_ => qq(invalid parameter "$_" in "lb_health_check", it must be )
                 . '"uri=", "method=", ') }
        qw(udp passes=2 mandatory=1)),
    map({ ($_ => 'duplicate "' . s/.* //r =~ s/=.*//r . '" parameter') }
        'rise=1 rise=2', 'http tcp', 'tcp http', 'mandatory mandatory'),
    map({ ("tcp $_" => 'parameter "' . s/=.*//r
                       . '" cannot be used with "tcp"') }
        qw(uri=/ method=GET host=h status=200 body=x header=X:y tls_name=n
           tls_ca=f service=s)),
    map({ ("grpc $_" => 'parameter "' . s/=.*//r
                        . '" cannot be used with "grpc"') }
        qw(uri=/ method=GET status=200 body=x)),
    map({ ("http $_" => 'parameter "' . s/=.*//r
                        . '" cannot be used with "http"') }
        qw(tls_name=n tls_ca=f service=s)),
    'https service=s' => 'parameter "service" cannot be used with "https"',
    'https tls_ca=/nowhere.pem' => 'certificates of "/nowhere.pem" cannot be '
                                   . 'read, "tls_ca" in "lb_health_check"',
    '"header=X: ' . 'a' x 2048 . '"' => 'invalid value "X: aaaa',
    'https tls_name="a b"' => 'it must be',
    'grpc service=' . 'a' x 256 => 'from 1 to 255 characters, without spaces',
    join(' ', map { "header=X:$_" } 1 .. 33) => 'it must be at most 32 of',
    join(' ', 'grpc', map { "header=X:" . 'a' x 2000 } 1 .. 9)
        => '"header" parameters of more than 16k',
    'method=HEAD body=x'
        => 'parameter "body" cannot be used with "method=HEAD"',
    'uri=*' => '"uri=*" needs "method=OPTIONS"',
);

# lb_queue

my $queue = 'upstream u { lb random; server 127.0.0.1:1 max_conns=1; }
             upstream other { server 127.0.0.1:2; }
             server { location / { %s proxy_pass http://u; } }';

refused($queue,
    'lb_queue;' => 'invalid number of arguments in "lb_queue" directive',
    'lb_queue u;' => '"lb_queue" must have "size" parameter',
    'lb_queue u size=1;' => '"lb_queue" must have "timeout" parameter',
    'lb_queue u timeout=1s;' => '"lb_queue" must have "size" parameter',
    'lb_queue "" size=1 timeout=1s;' => '"lb_queue" must name an upstream',
    map({ ("lb_queue u size=$_ timeout=1s;" => qq(invalid value "$_" of )
           . '"size" in "lb_queue", it must be from 1 to 1000000') }
        '', qw(0 -1 x 1000001)),
    map({ ("lb_queue u size=1 timeout=$_;" => qq(invalid value "$_" of )
           . '"timeout" in "lb_queue", it must be from 1ms to ') }
        '', qw(0 x 25h)),
    map({ ("lb_queue u size=1 timeout=1s priority=$_;" => 'invalid value '
           . qq("$_" of "priority" in "lb_queue", it must be from 0 to 9, or )
           . 'a value with variables') } '', qw(10 -1 a)),
    'lb_queue u size=1 timeout=1s priority=$nothing;'
        => qr/\[emerg\] unknown "nothing" variable/,
    map({ ("lb_queue u size=1 timeout=1s limit=$_;" => 'invalid value '
           . qq("$_" of "limit" in "lb_queue", it must be "auto")) }
        '', qw(100 on)),
    'lb_queue u size=1 timeout=1s burst=1;'
        => 'invalid parameter "burst=1" in "lb_queue", it must be "size=", '
           . '"timeout=", "priority=" or "limit="',
    'lb_queue u size=1 size=2 timeout=1s;'
        => '"lb_queue" directive has duplicate "size" parameter',
    'lb_queue u size=1 timeout=1s; lb_queue u size=1 timeout=1s;'
        => '"lb_queue" directive is duplicate for upstream "u"',
    map({ ($_ => '"lb_queue" directive is duplicate') }
        'lb_queue off; lb_queue off;',
        'lb_queue off; lb_queue u size=1 timeout=1s;',
        'lb_queue u size=1 timeout=1s; lb_queue off;'),
    map({ ("lb_queue $_ size=1 timeout=1s;" => '"lb_queue" needs an upstream '
           . qq(with "lb", "$_" is none)) } qw(other nobody)),
);

refused('server { %s }',
    map({ ("lb_proxy_status $_;" => qq(invalid value "$_" in "lb_proxy_status")
           . ', it must be "off", "on" or "next_hop"') } qw(x On)),
    'lb_proxy_status on; lb_proxy_status on;' => 'directive is duplicate');

refused('upstream u { lb_queue u size=1 timeout=1s; }',
    '' => '"lb_queue" directive is not allowed here');


done_testing();
