# Counts of requests in flight, however many processes send them and however
# they end.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

my $WORKERS = 16;


# Requests that their server does not answer, on connections of their own.

sub held
{
    my ($g, $n) = @_;

    my @held;

    for (1 .. $n) {
        my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                      PeerPort => $g->port) or die $!;
        syswrite($c, "GET / HTTP/1.0\r\n\r\n");
        push(@held, $c);
    }

    return @held;
}


sub active
{
    my ($g) = @_;

    my ($active) = get($g, '/upstreams/u')->{body} =~ /"active":(\d+)/;

    return $active;
}


# Old workers have their requests to the end: after five generations there are
# more processes than four for each worker.

subtest 'a killed worker is given back however many others there are' => sub {
    my $b    = backend();
    my $conf = 'upstream u { lb round_robin; lb_zone 64k; lb_keepalive 0; '
               . $b->server . ' } server { listen 127.0.0.1:%%PORT%% reuseport;'
               . ' location /upstreams { lb_api write=on; }'
               . ' location / { proxy_pass http://u; } }';
    my $g = gateway($conf, workers => $WORKERS);
    my (@held, @workers);

    $b->behave(action => 'hang');

    for my $n (1 .. 5) {
        push(@workers, $g->workers);
        push(@held, held($g, 3 * $WORKERS));
        wait_for(sub { active($g) == @held })
            or diag(active($g) . ' of ' . @held);
        last if $n == 5;

        $g->reload($conf);
    }

    my @living = grep { kill(0, $_) } @workers;
    cmp_ok(scalar(@living), '>', 4 * $WORKERS, 'there are that many');
    is(active($g), scalar(@held), 'all requests count');

    # one of the first workers and one of the last ones

    kill('KILL', $living[0], $living[-1]);
    wait_for(sub { !kill(0, $living[0]) && !kill(0, $living[-1]) });

    my $left = sub {
        my %gone = map { $_ => 1 } IO::Select->new(@held)->can_read(0);
        return scalar(grep { !$gone{$_} } @held);
    };
    ok(wait_for(sub { $left->() < @held }), 'two are killed');
    ok(wait_for(sub { active($g) == $left->() }), 'and theirs do no more')
        or diag(active($g) . ' of ' . $left->());

    close($_) for @held;
    ok(wait_for(sub { active($g) == 0 }), 'none is left in the end')
        or diag(active($g));
};

done_testing();
