# unit=N: a zone counts in steps of N/1,000; what is written and read stays in
# single units.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $g = gateway(<<'END', log_level => 'info');
    tbucket_zone $arg_key zone=z:1m rate=60000r/m capacity=2000000 unit=1000;
    tbucket_zone $arg_key zone=slow:1m rate=3600r/h capacity=90 unit=3;
    tbucket_zone $arg_key zone=one:1m rate=500000000r/d unit=500;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        location / { tbucket zone=z cost=$arg_cost; try_files /none @vars; }
        location /legacy { tbucket zone=z cost=$arg_cost;
                           tbucket_headers legacy; try_files /none @vars; }
        location /slow { tbucket zone=slow cost=30; try_files /none @vars; }
        location /plain { tbucket zone=slow; try_files /none @vars; }
        location /one { tbucket zone=one; try_files /none @vars; }
        location @vars { return 200
            "$tbucket_limit $tbucket_remaining $tbucket_reset"; }
    }
END


sub ask
{
    my ($uri, $code, $headers, $title) = @_;
    my $r = get($g, $uri);

    is($r->{code}, $code, "$title: $code");
    is($r->{headers}{$_}, $headers->{$_}, "$title: $_") for sort keys %$headers;

    return $r->{body};
}


is(ask('/?key=a&cost=1500000', 200,
       { 'ratelimit-policy' => '"z";q=2000000;w=2000',
         ratelimit => '"z";r=500000;t=500' }, 'tokens of a budget'),
   '2000000 500000 1', 'variables');
my $r = get($g, '/?key=a&cost=600000');
is($r->{code}, 429, 'too much for now');
like($r->{headers}{'retry-after'}, qr/^(?:100|99)$/, 'and when it is not');
like($r->{headers}{ratelimit}, qr/^"z";r=50\d{4};t=(?:100|99)$/, 'what is left');
like($g->log, qr/rejected by zone "z", .* next in (?:100000|99\d{3}) ms/,
     'the log says when');

is(ask('/?key=b&cost=2000001', 429, { 'retry-after' => undef,
                                      ratelimit => '"z";r=2000000' },
       'more than there ever is'),
   '{"code":429,"message":"Rate limit exceeded"}', 'the body');
ask('/?key=b&cost=nonsense', 200, { ratelimit => '"z";r=1999999;t=2000' },
    'an invalid cost is one');
ask('/?key=c&cost=0.5', 200, {}, 'less than the least is one');

is(ask('/legacy?key=d&cost=1', 200,
       { 'x-ratelimit-limit' => 2000000, 'x-ratelimit-remaining' => 1999999,
         'x-ratelimit-reset' => 1 }, 'legacy'),
   '2000000 1999999 1', 'variables');

# a unit that does not divide a token: who is in between pays a little more

ask("/slow?key=a", 200, { 'ratelimit-policy' => '"slow";q=90;w=90',
                          ratelimit => qq("slow";r=$_;t=$_) }, 'in threes')
    for 60, 30;
ask('/plain?key=b', 200, { ratelimit => '"slow";r=88;t=88' }, 'a third');

ask('/one?key=a', 200, { 'ratelimit-policy' => '"one";q=5500;w=1' },
    'the capacity is that of a second, in whole steps');

is($g->quit, 0, 'nginx stops');

done_testing();
