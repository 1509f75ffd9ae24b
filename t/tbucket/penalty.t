# "penalty": a refusal costs tokens, into debt.  And "dry_run" of one line,
# which refuses nobody while others do.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use Test::More;
use Time::HiRes qw(sleep time);

my $g = gateway(<<'END', workers => 2);
    tbucket_zone $arg_k zone=z:1m rate=1r/h capacity=2;
    tbucket_zone $arg_k zone=fast:1m rate=10r/s capacity=2;
    tbucket_zone $arg_o zone=other:1m rate=1r/h capacity=2;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { tbucket zone=z penalty=5; add_header X-Cost $tbucket_cost always;
                     try_files /none @ok; }
        location /fast { tbucket zone=fast penalty=0.5; try_files /none @ok; }
        location /two { tbucket zone=z penalty=5; tbucket zone=other penalty=7;
                        try_files /none @ok; }
        location /dry { tbucket_dry_run on; tbucket zone=z penalty=5;
                        try_files /none @ok; }
        location /line { tbucket zone=z dry_run penalty=3; tbucket zone=other;
                         add_header X-Status "$tbucket_status $tbucket_zone" always;
                         try_files /none @ok; }
        location /alone { tbucket zone=z dry_run;
                          add_header X-Status "$tbucket_status $tbucket_zone" always;
                          try_files /none @ok; }
        location @ok { add_header X-Cost $tbucket_cost always;
                       add_header X-Status "$tbucket_status $tbucket_zone" always;
                       return 204; }
        location /clients { tbucket_api zone=z write=on; }
        location /others { tbucket_api zone=other write=on; }
        location = /metrics { tbucket_metrics; }
    }
END


sub tokens
{
    my ($k, $api) = @_;

    my $r = get($g, ($api // '/clients') . "/$k");

    return $r->{code} == 404 ? 2
         : sprintf('%.0f', $r->{body} =~ /"tokens":(-?[\d.]+)/ ? $1 : 'nan') + 0;
}


sub counted
{
    my ($zone) = @_;

    my $text = get($g, '/metrics')->{body};

    return join ' ', map {
        $text =~ /^tbucket_requests_total\{zone="$zone",result="$_"\} (\d+)/m
    } qw(passed rejected dry_run);
}


get($g, '/?k=a') for 1 .. 2;
my $r = get($g, '/?k=a');
is($r->{code}, 429, 'a client that has used its tokens');
is($r->{headers}{'retry-after'}, 6 * 3600, 'pays for the refusal, as it is told');
is($r->{headers}{'x-cost'}, 5, 'in its cost, too');
is(tokens('a'), -5, 'and is in debt');
is(get($g, '/?k=a')->{headers}{'retry-after'}, 11 * 3600,
   'and for the next one');
is(tokens('b'), 2, 'others are not');

get($g, '/?k=deep&x') for 1 .. 2;
set_tokens($g, '/clients/deep', 0);
get($g, '/?k=deep') for 1 .. 3;
is(tokens('deep'), -15, 'debt grows with each');

# a client that does not slow down is shut out; one that does is not

my $admitted = 0;
my $begin = time();
while (time() - $begin < 2) {
    $admitted++ if get($g, '/fast?k=rude')->{code} == 204;
    sleep(0.02);
}
cmp_ok($admitted, '<=', 4, 'who asks fifty times a second gets nothing');
ok(wait_for(sub { sleep(1); get($g, '/fast?k=rude')->{code} == 204 }, 30),
   'until it has waited');

# several limits: who refuses charges

get($g, '/two?k=x&o=x') for 1 .. 2;
set_tokens($g, '/clients/x', 2);
is(get($g, '/two?k=x&o=x')->{code}, 429, 'one of two refuses');
is(tokens('x'), 2, 'the other one is as it was');
is(tokens('x', '/others'), -7, 'and the penalty is its own');

get($g, '/dry?k=d') for 1 .. 4;
is(tokens('d'), 0, 'in dry run nobody is punished');

# dry_run on the line

my $z = counted('z');
is(get($g, '/alone?k=l')->{code}, 204, 'a limit that refuses nobody') for 1 .. 3;
$r = get($g, '/alone?k=l');
is($r->{headers}{'x-status'}, 'REJECTED_DRY_RUN z', 'says that it would have');
my @z = split / /, $z;
is(counted('z'), join(' ', $z[0] + 2, $z[1], $z[2] + 2), 'and counts it');

is(get($g, '/line?k=l&o=l')->{headers}{'x-status'}, 'REJECTED_DRY_RUN z',
   'beside another one that admits');
is(tokens('l'), 0, 'it charges nothing for a refusal');
is(tokens('l', '/others'), 1, 'which the other one does');
is(get($g, '/line?k=l&o=l')->{code}, 204, 'as long as it has tokens');
$r = get($g, '/line?k=l&o=l');
is($r->{code}, 429, 'and refuses then');
is($r->{headers}{'x-status'}, 'REJECTED other', 'in its own name');
is($r->{headers}{'retry-after'}, 3600, 'and time');
is(tokens('l'), 0, 'the first one charges no penalty');
$r = get($g, '/line?k=m&o=l');
is($r->{code}, 429, 'whatever the first one says');
is(tokens('m'), 2, 'which has not charged for it');

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit)\]/, 'nothing is wrong in the log');

done_testing();
