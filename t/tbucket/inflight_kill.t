# Workers that are killed under load: the places of their requests come back,
# those of others stay, and never are there more than the limit.
# TBUCKET_KILL_SECONDS runs it longer.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{TBUCKET_KILL_SECONDS} // 5;

# "z" has four places for its only client; "many" is too small for its keys,
# so that they share the overflow bucket whenever a worker dies

my $b = backend(name => 'b');
my $g = gateway(<<"END", workers => 4, log_level => 'notice');
    tbucket_zone all zone=z:64k inflight=4;
    tbucket_zone \$arg_key zone=many:64k inflight=2;
    upstream b { @{[ $b->server ]} keepalive 8; }
    server {
        listen 127.0.0.1:%%PORT%%;
        access_log off;
        tbucket_log_level info;
        proxy_read_timeout 1h;
        location = /pid { return 200 \$pid; }
        location = /metrics { tbucket_metrics; }
        location = /hold { tbucket zone=z; proxy_pass http://b; }
        location = /one { tbucket zone=z; proxy_pass http://b; }
        location = /many { tbucket zone=many; proxy_pass http://b; }
    }
END

my $safe = ($g->workers)[0];


# A request that the worker which is not killed has under way.

sub hold
{
    for (1 .. 200) {
        my $c = client($g);
        $c->send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        next if $c->response->{body} != $safe;

        my $n = () = $b->requests;
        $c->send("GET /hold?action=hang HTTP/1.1\r\nHost: a\r\n\r\n");
        return wait_for(sub { (() = $b->requests) > $n }, 2) ? $c : undef;
    }
}


sub used
{
    my ($zone) = @_;

    return get($g, '/metrics')->{body}
           =~ /^tbucket_inflight\{zone="$zone"\} (\d+)$/m ? $1 : -1;
}


my @held = map { hold() } 1, 2;
is(used('z'), 2, 'two requests are under way in a worker that is not killed');

my ($killed, $most, $next) = (0, 0, time() + 0.1);

my $l = load($g, sub {
    my ($i) = @_;

    if (time() > $next) {
        my @workers = grep { $_ != $safe } $g->workers;
        $killed += kill('KILL', $workers[rand @workers]) if @workers;
        $next = time() + 0.1;

        my $used = used('z');
        $most = $used if $used > $most;
    }

    return $i % 2 ? '/one?delay=0.01' : "/many?delay=0.01&key=$i";

}, connections => 64, seconds => $seconds, timeout => 10);

cmp_ok($killed, '>=', 5 * $seconds, "workers were killed: $killed");
cmp_ok($l->{codes}{200}, '>', 100, 'requests were admitted');
cmp_ok($l->{codes}{429}, '>', 100, 'and refused');
cmp_ok($most, '<=', 4, 'never were more of them under way than allowed');
cmp_ok($most, '>', 2, 'but more than are held');

my $end = time();
ok(wait_for(sub { used('z') == 2 && used('many') == 0 }, 5),
   'the places of those that were killed come back')
    or diag('used: ', used('z'), ' ', used('many'));
cmp_ok(time() - $end, '<', 1.5, 'within a second or so');

push @held, map { hold() } 3, 4;
is(scalar(grep { $_ } @held), 4, 'two more are admitted');
is(get($g, '/one')->{code}, 429, 'and no more than that');

undef @held;
ok(wait_for(sub { used('z') == 0 }), 'all are over');
@held = map { hold() } 1 .. 4;
is(scalar(grep { $_ } @held), 4, 'all places are there');
is(get($g, '/one')->{code}, 429, 'and no more than these');
undef @held;

is($g->quit, 0, 'nginx stops');

done_testing();
