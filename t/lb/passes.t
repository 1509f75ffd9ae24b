# No pass of the event loop takes long, however much there is to do at once.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Dns;
use Gateway::Passes;
use Test::More;

my $LONGEST = 5 * ($ENV{TEST_TIME_FACTOR} || 1);     # ms

my $passes = Gateway::Passes->new
    or plan(skip_all => 'the passes of this nginx cannot be measured');


# How long the longest pass was while that many lines came into the log, or
# until something is so.

sub longest
{
    my ($g, $what, $number, $change, $title) = @_;

    $g->mark;
    until_so(sub { (() = $g->log =~ m{is $what: }g) >= $number }, $change,
             "$title: $number are $what");
}

sub until_so
{
    my ($so, $change, $title) = @_;

    $passes->read;
    $change->();

    ok(wait_for($so, 60), $title);

    my ($longest, $sum, $n) = $passes->read;
    cmp_ok($longest, '<', $LONGEST, '... and no pass takes long');
    note(sprintf('%.1f ms at most, %.0f ms in %d passes', $longest, $sum,
                 $n));
}


subtest '1,000 names' => sub {
    my $names = 1000;
    my $zone = sub {
        my ($net) = @_;
        return map { ("n$_.test" => { A => ["127.$net." . int($_ / 250) . '.'
                                            . (1 + $_ % 250)], ttl => 2 }) }
               1 .. $names;
    };
    my $dns = Gateway::Dns->start($zone->(1));
    my $g = gateway('resolver 127.0.0.1:' . $dns->port . " ipv6=off;\n"
                    . "upstream u { lb round_robin;\n"
                    . join('', map { "lb_resolve n$_.test:1;\n" } 1 .. $names)
                    . '} server { listen 127.0.0.1:%%PORT%%; '
                    . 'location / { return 200; } }',
                    $passes->options);

    longest($g, 'added', $names, sub { }, 'at first');
    longest($g, 'removed', $names, sub { $dns->set($zone->(2)) },
            'all addresses change');
};


subtest '500 servers' => sub {
    for my $method ('hash $arg_key', 'hash $arg_key ketama', 'least_conn') {
        my $b = backend(host => '0.0.0.0');
        my $g = gateway("upstream u { lb $method;\n"
                        . "lb_health_check tcp interval=1s fall=1 rise=1;\n"
                        . join('', map { 'server 127.0.' . int($_ / 250) . '.'
                                         . (1 + $_ % 250) . ':' . $b->port
                                         . ' weight=' . (1 + $_ % 10) . ";\n" }
                                   1 .. 500)
                        . '} server { listen 127.0.0.1:%%PORT%%; '
                        . 'location / { proxy_pass http://u; } }',
                        $passes->options);

        is(get($g, '/?key=1')->{code}, 200, "lb $method: all are up");
        longest($g, 'down', 500, sub { $b->kill }, $method);
        longest($g, 'up', 500, sub { $b->start_again }, $method);
        $g->quit;
        $b->kill;
    }
};

subtest '10,000 requests that wait' => sub {
    my $number = 10_000;

    for my $case (
        [ 'are served' => 30, sub { close($_[1]) } ],
        [ 'give up their turns' => 2, sub { } ],
        [ 'have no server left' => 30, sub { $_[0]->kill } ],
    ) {
        my ($name, $timeout, $end) = @$case;

        my $b = backend(answer => sub {
            return { delay => $_[0]{uri} eq '/held' ? 1e6 : 0 };
        });
        my $g = gateway(<<"END", $passes->options, connections => 25_000);
upstream u { lb least_conn; @{[ $b->server('max_conns=1 max_fails=1') ]} }
server {
    listen 127.0.0.1:%%PORT%%;
    location /metrics { lb_metrics; }
    location / { lb_queue u size=$number timeout=${timeout}s;
                 proxy_pass http://u; }
}
END
        my $count = sub {
            my ($name) = @_;
            return get($g, '/metrics')->{body}
                   =~ /^$name\{upstream="u"[^}]*\} (\d+)$/m ? $1 : -1;
        };
        my $ask = sub {
            my ($uri) = @_;
            my $c = IO::Socket::INET->new('127.0.0.1:' . $g->port)
                or die "connect: $!\n";
            syswrite($c, "GET $uri HTTP/1.1\r\nHost: a\r\n\r\n");
            return $c;
        };

        my $held = $ask->('/held');
        wait_for(sub { scalar $b->requests });

        my @c;
        until_so(sub { $timeout < 10 || $count->('lb_queued') == $number },
                 sub { @c = map { $ask->('/') } 1 .. $number },
                 "$number come that $name");
        until_so(sub { $count->('lb_queued') == 0 },
                 sub { $end->($b, $held) },
                 'and all do');
    }
};

done_testing();
