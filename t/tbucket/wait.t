# "wait": who has too few tokens waits for them, in order of arrival, and gives
# them back if he goes.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use Test::More;
use Time::HiRes qw(sleep time);

my $conf = <<'END';
    tbucket_zone $arg_k zone=z:1m rate=10r/s capacity=1;
    tbucket_zone $arg_k zone=slow:1m rate=2r/s capacity=1;
    tbucket_zone $arg_o zone=other:1m rate=1r/h capacity=5;
    limit_req_zone $arg_k zone=req:1m rate=10r/s;
    log_format wait '$uri k=$arg_k n=$arg_n $status $tbucket_status $tbucket_wait';
    access_log %%DIR%%/logs/wait.log wait;
    tbucket_log_level info;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        location / { tbucket zone=z wait=2s; try_files /none @ok; }
        location /limit_req { limit_req zone=req burst=20;
                              try_files /none @ok; }
        location /short { tbucket zone=z wait=150ms; try_files /none @ok; }
        location /large { tbucket zone=z cost=2 wait=1h; try_files /none @ok; }
        location /long { tbucket zone=slow wait=1m settle=$arg_c;
                         try_files /none @ok; }
        location /two { tbucket zone=z wait=5s; tbucket zone=slow wait=5s;
                        try_files /none @ok; }
        location /refused { tbucket zone=other; tbucket zone=slow wait=600ms;
                            try_files /none @ok; }
        location /late { tbucket zone=other;
                         tbucket zone=slow wait=5s after=access;
                         try_files /none @ok; }
        location /dry { tbucket_dry_run on; tbucket zone=slow wait=5s;
                        try_files /none @ok; }
        location /line { tbucket zone=slow wait=5s dry_run;
                         try_files /none @ok; }
        location @ok { add_header X-Wait $tbucket_wait; return 204; }
        location /clients { tbucket_api zone=z; }
        location /slows { tbucket_api zone=slow; }
        location /others { tbucket_api zone=other; }
        location = /metrics { tbucket_metrics; }
    }
END

my $g = gateway($conf, workers => 1);


sub tokens
{
    my ($k, $api) = @_;

    my $r = get($g, "$api/$k");

    return $r->{code} == 404 ? undef : $r->{body} =~ /"tokens":(-?[\d.]+)/
                                     ? $1 : die $r->{body};
}


# Requests at the same time, each by a connection of its own that sends when
# the one before has sent.  Returns [code, time since the first] of each.

sub burst
{
    my ($n, $uri) = @_;

    my @c = map { client($g) } 1 .. $n;
    my $begin = time();
    $c[$_]->send("GET $uri&n=$_ HTTP/1.1\r\nHost: a\r\n\r\n") for 0 .. $n - 1;

    return map { my $r = $_->response; [$r->{code}, time() - $begin, $r] } @c;
}


sub median
{
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}


sub gaps
{
    my @r = grep { $_->[0] == 204 } @_;

    return map { $r[$_][1] - $r[$_ - 1][1] } 1 .. $#r;
}


sub codes
{
    my %code;
    $code{ $_->[0] }++ for @_;

    return join ' ', map { "$_:$code{$_}" } sort keys %code;
}


sub order
{
    my ($uri) = @_;

    return [Gateway::slurp($g->dir . '/logs/wait.log')
            =~ /^$uri k=\S* n=(\d+) 204 /mg];
}


# side by side with limit_req

my @ours = burst(25, '/pace?k=a');
my @theirs = burst(25, '/limit_req?k=a');

is(codes(@ours), '204:21 429:4', 'as many pass and wait');
is(codes(@theirs), '204:21 503:4', 'as with limit_req');
cmp_ok(median(gaps(@ours)), '>', 0.095, 'one each 100 ms');
cmp_ok(median(gaps(@ours)), '<', 0.105, 'one each 100 ms');
cmp_ok(abs(median(gaps(@ours)) - median(gaps(@theirs))), '<', 0.005,
       'at the pace of limit_req');
is_deeply(order('/pace'), [0 .. 20], 'in the order in which they came');

my ($first, $last) = @ours[0, 20];
is($first->[2]{headers}{'x-wait'}, 0, 'the first one did not wait');
cmp_ok(abs($last->[2]{headers}{'x-wait'} - 2000), '<', 100,
       'the last one is told for how long it did');
my ($refused) = grep { $_->[0] == 429 } @ours;
like($refused->[2]{headers}{'retry-after'}, qr/^[23]$/,
     'who is refused is told when there are tokens for him');
is($last->[2]{headers}{ratelimit}, '"z";r=0;t=1', 'headers know no debt');
is(get($g, '/metrics')->{body}
   =~ /^tbucket_delayed_total\{zone="z"\} (\d+)/m ? $1 : '', 20,
   'a metric counts those who waited');

# no longer than is allowed

my @r = burst(4, '/short?k=b');
is(codes(@r), '204:2 429:2', 'who would have to wait for longer is refused');
is(get($g, '/large?k=c')->{code}, 429, 'as is what never passes');

# with several limits the longest wait counts, and all admit or none

@r = burst(3, '/two?k=d');
is(codes(@r), '204:3', 'two limits with waits');
cmp_ok($r[2][1], '>', 0.99, 'hold a request for the longer one');
cmp_ok($r[2][1], '<', 1.2, 'and no longer');

@r = burst(4, '/refused?k=e&o=e');
is(codes(@r), '204:2 429:2', 'one that would take too long refuses');
cmp_ok(tokens('e', '/others'), '<', 3.1, 'and takes nothing');
cmp_ok(tokens('e', '/others'), '>', 2.9, 'from the others');

@r = burst(2, '/late?k=f&o=f');
is(codes(@r), '204:2', 'limits after access');
cmp_ok($r[1][1], '>', 0.45, 'hold, too');

@r = burst(3, '/dry?k=g');
is(codes(@r), '204:3', 'a dry run');
cmp_ok($r[2][1], '<', 0.4, 'holds nobody');
@r = burst(3, '/line?k=h');
cmp_ok($r[2][1], '<', 0.4, 'nor does that of a line');

# who goes away gives back

my @c = map { client($g) } 1 .. 10;
$_->send("GET /long?k=i&c=5 HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
is($c[0]->response->{code}, 204, 'the first of ten is served');
ok(wait_for(sub { tokens('i', '/slows') < -11 }),
   'settled, and the others are in debt');
$_->reset for @c[1 .. 9];
ok(wait_for(sub { (tokens('i', '/slows') // 1) > -4 }),
   'which is given back when they go');
ok(wait_for(sub {
    my $n = () = Gateway::slurp($g->dir . '/logs/wait.log')
                 =~ /^\/long k=i n=\S* 499 PASSED \d+$/mg;
    $n == 9
}), 'and they are in the log');
ok(wait_for(sub { !defined tokens('i', '/slows') }, 10),
   'what they did not get is not settled');

# a kill takes tokens along, and gives none

@c = map { client($g) } 1 .. 5;
$_->send("GET /long?k=kill HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
ok(wait_for(sub { (tokens('kill', '/slows') // 1) < -3 }), 'five wait');
my $before = tokens('kill', '/slows');
kill('KILL', $g->workers);
ok(wait_for(sub { (get($g, '/metrics')->{code} // 0) == 200 }), 'a worker dies');
cmp_ok(tokens('kill', '/slows'), '<', $before + 3, 'nothing is given for it');

# a reload and a stop lose nobody

@c = map { client($g) } 1 .. 3;
$_->send("GET /long?k=j HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
ok(wait_for(sub { (tokens('j', '/slows') // 1) < 0 }), 'requests wait');
ok($g->reload($conf), 'over a reload');
is(join(' ', map { $_->response->{code} } @c), '204 204 204',
   'and are all served');

@c = map { client($g) } 1 .. 3;
$_->send("GET /long?k=l HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
ok(wait_for(sub { (tokens('l', '/slows') // 1) < 0 }), 'requests wait');
my $begin = time();
kill('QUIT', $g->pid);
is(join(' ', map { $_->response->{code} } @c), '204 204 204',
   'over a graceful stop');
cmp_ok(time() - $begin, '<', 5, 'which does not take longer for it');
ok(wait_for(sub { !$g->running }), 'nginx stops');

# unless it may not take so long

$g = gateway($conf, main => 'worker_shutdown_timeout 500ms;');
@c = map { client($g) } 1 .. 20;
$_->send("GET /long?k=m HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
ok(wait_for(sub { (tokens('m', '/slows') // 1) < -15 }), 'requests wait');
$begin = time();
is($g->quit, 0, 'a stop with worker_shutdown_timeout');
cmp_ok(time() - $begin, '<', 5, 'ends them');

unlike($g->log, qr/\[(?:alert|emerg|crit)\]/, 'nothing is wrong in the log');

done_testing();
