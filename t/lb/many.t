# Many servers whose health changes together: what that costs the workers.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Process qw(free_port);
use POSIX ();
use Test::More;

my $SERVERS = 400;


# Seconds of the processor's time that a worker has had.

sub cpu
{
    my ($pid) = @_;

    open(my $in, '<', "/proc/$pid/stat") or die "/proc/$pid/stat: $!\n";
    my @fields = split ' ', <$in> =~ s/.*\) //r;

    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


# A view of an upstream of this size takes some ms to build, so one for each
# change would take more than a second.

for my $method ('hash $arg_key', 'round_robin') {
    subtest "servers of \"lb $method\" that change together" => sub {
        my $b = backend(host => '0.0.0.0');
        my $lines = join('', map {
            sprintf("server 127.0.%d.%d:%d weight=%d;\n", 1 + $_ / 200,
                    1 + $_ % 200, $b->port, 1 + $_)
        } 1 .. $SERVERS);
        my $g = gateway("upstream u { lb $method;\n"
            . "lb_health_check tcp interval=400ms fall=1 rise=1;\n$lines }\n"
            . 'server { listen 127.0.0.1:%%PORT%%; location / '
            . '{ proxy_pass http://u; } }');

        my ($worker) = $g->workers;
        my $all = sub {
            my ($what) = @_;
            return wait_for(sub {
                my @lines = $g->log =~ /is $what:/g;
                return @lines >= $SERVERS;
            }, 30);
        };

        is(get($g, '/?key=1')->{code}, 200, 'all are up');

        my $before = cpu($worker);
        $b->kill;
        ok($all->('down'), 'all go down');
        is(get($g, '/?key=1')->{code}, 502, 'and get no requests');

        $g->mark;
        $b->start_again;
        ok($all->('up'), 'all come back');
        is(get($g, '/?key=1')->{code}, 200, 'and get requests');

        my $took = cpu($worker) - $before;
        cmp_ok($took, '<', 0.8 * ($ENV{TEST_TIME_FACTOR} || 1),
               'with one view for many of them') or diag("$took s");
    };
}

done_testing();
