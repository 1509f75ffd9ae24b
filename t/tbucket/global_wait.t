# scope=global with wait: who waits has one turn in the queue of all gateways,
# and they come at the client's rate, not at that of each.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Nodes;
use Test::More;
use Time::HiRes qw(sleep time);

# Gateways on one Redis that know each other.

sub nodes
{
    my ($n, $r, $zone, $wait) = @_;

    my @g = map { gateway(<<"END", workers => 2, log_level => 'notice') }
        tbucket_zone \$arg_k zone=g:2m $zone scope=global;
        tbucket_store ${\$r->url} node=n$_;
        log_format turn '\$msec \$arg_k \$arg_n \$status \$tbucket_wait';
        access_log %%DIR%%/logs/turn.log turn;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=g wait=$wait; try_files /none \@ok; }
            location \@ok { return 204; }
            location /clients { tbucket_api zone=g write=on; }
            location /metrics { tbucket_metrics; }
        }
END
        1 .. $n;

    ok(joined($n, @g), "$n nodes know each other");

    return @g;
}

# The log lines of a key, by time, once there are n of them.

sub turns
{
    my ($key, $n, @g) = @_;
    my @lines;

    wait_for(sub {
        @lines = grep { / \Q$key\E / }
                 map { split /\n/,
                       Gateway::slurp($_->dir . '/logs/turn.log') } @g;
        return @lines >= $n;
    }, 3);

    return sort { $a->[0] <=> $b->[0] } map { [split / /] } @lines;
}

sub send_one
{
    my ($g, $uri) = @_;

    my $s = IO::Socket::INET->new('127.0.0.1:' . $g->port)
        or die "connect: $!";
    print $s "GET $uri HTTP/1.1\r\nHost: localhost\r\n"
             . "Connection: close\r\n\r\n";

    return $s;
}

subtest 'three gateways let wait as many as one would' => sub {
    my $r = redis();
    my @g = nodes(3, $r, 'rate=10r/s capacity=1', '2s');

    my $begin = time();
    my @s;
    for my $i (1 .. 18) {
        push @s, send_one($_, "/x?k=a&n=$i") for @g;
        sleep 0.01;
    }
    readline($_) for @s;

    my @all = turns('a', 54, @g);
    my @ok = grep { $_->[3] == 204 } @all;
    is(scalar @all, 54, 'all have been answered');
    cmp_ok(scalar @ok, '>=', 15, 'some have waited for their turn');
    cmp_ok(scalar(grep { $_->[3] == 429 } @all), '>', 0,
           'those whose turn was too far away have not');

    my $early = 0;
    for my $i (0 .. $#ok) {
        $early++ if $ok[$i][0] < $begin + ($i - 1) / 10 - 0.06;
    }
    is($early, 0, 'nobody has come before his turn')
        or diag(join "\n", map { sprintf '%.3f', $_->[0] - $begin } @ok);

    my ($longest) = sort { $b <=> $a } map { $_->[4] } @ok;
    cmp_ok($longest, '<=', 2060, 'or has waited for longer than is allowed');

    my %n = (passed => 0, rejected => 0);
    for my $g (@g) {
        my $body = get($g, '/metrics')->{body};
        for my $result (keys %n) {
            $n{$result} += $body =~ /requests_total\{zone="g",result="$result"\} (\d+)/
                           ? $1 : 0;
        }
    }
    is_deeply(\%n, { passed => scalar @ok, rejected => 54 - @ok },
              'each is counted once');

    my @late = grep { $_->[3] == 429 && $_->[4] > 0 } @all;
    note(scalar(@late) . ' learnt later that theirs was too far away');
    note(scalar(@ok) . ' of 54, the last after '
         . sprintf('%.2f s', $ok[-1][0] - $begin));
};


subtest 'in order of arrival' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=10r/s capacity=1', '2s');

    my @s;
    for my $i (10 .. 19) {
        push @s, send_one($g[0], "/x?k=a&n=$i");
        sleep 0.03;
    }
    readline($_) for @s;

    my @ok = grep { $_->[3] == 204 } turns('a', 10, $g[0]);
    cmp_ok(scalar @ok, '>=', 9, 'requests that wait');
    is_deeply([map { $_->[2] } @ok], [sort map { $_->[2] } @ok],
              'come in the order in which they came');
    cmp_ok($ok[-1][4], '>=', 300, 'the last one has waited');
};


subtest 'who leaves gives his turn back' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=1r/s capacity=1', '10s');

    my @s = map { my $s = send_one($g[0], "/x?k=a&n=$_"); sleep 0.05; $s }
                1 .. 5;
    ok(wait_for(sub { (tokens($g[1], 'a') // 0) <= -2 }, 3),
       'a debt of those who wait') or diag(tokens($g[1], 'a'));
    close($_) for @s;
    ok(wait_for(sub { (tokens($g[1], 'a') // -9) > -0.5 }, 1.5),
       'ends with them') or diag(tokens($g[1], 'a'));
};


subtest 'without Redis' => sub {
    my $r = redis();
    my @g = nodes(1, $r, 'rate=10r/s capacity=1', '2s');

    is(get($g[0], '/x?k=a')->{code}, 204, 'a request');
    $r->kill;
    sleep 0.5;

    my $begin = time();
    my @s = map { send_one($g[0], "/x?k=a&n=$_") } 1 .. 8;
    readline($_) for @s;
    my @ok = grep { $_->[3] == 204 && $_->[0] >= $begin - 0.01 }
                  turns('a', 9, @g);
    is(scalar @ok, 8, 'requests wait for what refills');
    cmp_ok(time() - $begin, '>=', 0.6, 'as long as it takes');
    cmp_ok(time() - $begin, '<=', 3, 'and no longer');
};

done_testing();
