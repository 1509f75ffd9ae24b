# scope=global with settle and penalty: the debt that one gateway makes is the
# debt of the client on all of them, and what is given back is there for all.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use Nodes;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use constant { BUDGET => 2000, RATE => 50, ESTIMATE => 5, PARALLEL => 64 };

my $seed = $ENV{TBUCKET_SEED} // time() % 100_000;
srand($seed);

my $late = backend(answer => sub { return { delay => 1.2, body => 'x' } });


# Gateways on one Redis that know each other; %o: more, of http.

sub nodes
{
    my ($n, $r, $zone, %o) = @_;

    my $more = $o{more} // '';

    my @g = map { gateway(<<"END", workers => 2, log_level => 'notice') }
        tbucket_zone \$arg_k zone=g:2m $zone scope=global;
        tbucket_store ${\$r->url} node=n$_;
        log_format cost '\$arg_c \$status \$tbucket_cost';
        access_log %%DIR%%/logs/cost.log cost;
        $more
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=g cost=\$arg_e settle=\$arg_c;
                         return 204; }
            location /served { tbucket zone=g cost=\$arg_e settle=\$arg_c;
                               try_files /none \@ok; }
            location \@ok { return 204; }
            location /late { tbucket zone=g cost=\$arg_e settle=\$arg_c;
                             proxy_pass http://${\$late->address}; }
            location /fined { tbucket zone=g penalty=20;
                              try_files /none \@ok; }
            location /both { tbucket zone=g cost=\$arg_e;
                             tbucket zone=none after=access;
                             try_files /none \@ok; }
            location /clients { tbucket_api zone=g write=on; }
            location /metrics { tbucket_metrics; }
        }
        tbucket_zone \$arg_n zone=none:1m rate=1r/h capacity=1;
END
        1 .. $n;

    ok(joined($n, @g), "$n nodes know each other");

    return @g;
}

sub code { return get($_[0], $_[1])->{code} }

subtest 'a debt is one of the client, on all nodes' => sub {
    my $r = redis();
    my @g = nodes(3, $r, 'rate=10r/s capacity=20');

    is(code($g[1], '/served?k=a'), 204, 'a request to one');
    is(code($g[0], '/served?k=a&c=60'), 204, 'and to another, which costs more');
    my $begin = time();

    ok(wait_for(sub { (tokens($g[2], 'a') // 0) < -20 }, 2),
       'the third shows the debt');
    ok(wait_for(sub { code($g[1], '/served?k=a') == 429 }, 2),
       'the first one refuses once it has heard of it');
    my $no = get($g[1], '/served?k=a');
    is($no->{code}, 429, 'from then on');
    my $wait = $no->{headers}{'retry-after'};
    cmp_ok($wait, '>=', 3, 'and says for how long');
    cmp_ok($wait, '<=', 6, 'which is true');

    my $until = $begin + 60;
    while (time() < $until) {
        last if grep { code($_, '/served?k=a') == 204 } @g;
        sleep 0.05;
    }
    my $span = time() - $begin;
    cmp_ok($span, '>=', (1 + 1 + 60 - 20 - 1) / 10,
           'nobody admits before the debt has refilled');
    cmp_ok($span, '<=', 5.2, 'and all do then');
    unlike($_->log, qr/exited on signal|\[(?:alert|emerg|crit)\]/,
           'nothing is wrong') for @g;
};


subtest 'what was too much is given back' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=1r/h capacity=100');

    my $n = 0;
    for my $i (1 .. 60) {
        $n += code($g[$i % 2], '/served?k=a&e=20&c=1') == 204;
        sleep 0.12;
    }

    cmp_ok($n, '>=', 55, 'each request has cost one token, and not 20');
    ok(wait_for(sub { abs(tokens($g[0], 'a') - (100 - $n)) <= 1 }, 2),
       'and that is what is missing')
        or diag("$n requests, " . tokens($g[0], 'a') . ' are left');

    # more than anybody holds by now, as all has gone back meanwhile

    is(code($g[0], '/served?k=b&e=1000000&c=0'), 429, 'too large a request');
    is(code($g[0], '/late?k=c&e=90&c=10'), 200, 'one that lasts');
    ok(wait_for(sub { (tokens($g[1], 'c') // 0) >= 89 }, 2),
       'gives back when its lease has gone')
        or diag(tokens($g[1], 'c'));
    cmp_ok(tokens($g[1], 'c'), '<=', 90.01, 'and no more than that');

    is(code($g[0], '/late?k=d&e=1&c=150'), 200, 'another one');
    ok(wait_for(sub { (tokens($g[1], 'd') // 0) < -49 }, 2),
       'owes when its lease has gone')
        or diag(tokens($g[1], 'd'));
    is(code($g[1], '/served?k=d'), 429, 'and is refused');
};


subtest 'what one limit took is given back when another one refuses' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=1r/h capacity=10');

    is(code($g[0], '/both?k=a&n=x&e=3'), 204, 'both admit');
    is(code($g[0], '/both?k=a&n=x&e=3'), 429, 'the late one refuses')
        for 1 .. 5;
    ok(wait_for(sub { abs(tokens($g[1], 'a') - 7) < 0.01 }, 2),
       'the other one has charged nothing') or diag(tokens($g[1], 'a'));
};


subtest 'a refusal costs its penalty on all nodes' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=10r/s capacity=3');

    code($g[0], '/fined?k=a') for 1 .. 6;
    ok(wait_for(sub { (tokens($g[1], 'a') // 0) < -15 }, 2), 'there is a debt')
        or diag(tokens($g[1], 'a'));

    my $no = get($g[1], '/served?k=a');
    is($no->{code}, 429, 'which the other node knows of');
    cmp_ok($no->{headers}{'retry-after'}, '>=', 2, 'and for how long');
};


subtest 'setting tokens ends a debt' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=1r/h capacity=10');

    is(code($g[0], '/served?k=a&c=50'), 204, 'a request');
    ok(wait_for(sub { (tokens($g[1], 'a') // 0) < -35 }, 2), 'makes a debt');
    is(code($g[0], '/served?k=a'), 429, 'and is refused');
    is(api($g[0], 'PATCH', '/clients/a', { tokens => 5 })->{code}, 200,
       'its tokens are set');
    ok(wait_for(sub { code($g[0], '/served?k=a') == 204 }, 2),
       'and it is admitted');
    my $left = tokens($g[1], 'a');
    cmp_ok($left, '>=', 3, 'with what was set');
    cmp_ok($left, '<=', 5.01, 'and no more');
};


subtest 'a debt outlives workers, reloads and a graceful stop' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'rate=1r/h capacity=10');

    is(code($g[0], '/served?k=a&c=50'), 204, 'a debt');
    CORE::kill('KILL', $_) for $g[0]->workers;
    ok(wait_for(sub { (tokens($g[1], 'a') // 0) < -35 }, 5),
       'is told by the next worker');

    is(code($g[0], '/served?k=b&c=50'), 204, 'another');
    $g[0]->reload;
    ok(wait_for(sub { (tokens($g[1], 'b') // 0) < -35 }, 5),
       'is told after a reload');

    is(code($g[0], '/served?k=c&c=50'), 204, 'a last one');
    is($g[0]->quit, 0, 'nginx stops at once');
    ok(wait_for(sub { (tokens($g[1], 'c') // 0) < -35 }, 5),
       'but not without a word');
};


subtest 'without Redis a debt refills with the share' => sub {
    my $r = redis();
    my @g = nodes(1, $r, 'rate=20r/s capacity=20');

    is(code($g[0], '/served?k=a&c=70'), 204, 'a debt');
    my $begin = time();
    sleep 0.3;
    $r->kill;

    my $n = 0;
    while (time() < $begin + 4.5) {
        my $ok = code($g[0], '/served?k=a') == 204;
        $n += $ok;
        cmp_ok(time() - $begin, '>=', 2.5, 'nothing before it has refilled')
            if $ok && $n == 1;
        sleep 0.01;
    }
    cmp_ok($n, '>=', 10, 'then what refills');
    cmp_ok($n, '<=', 20 * (time() - $begin) - 50 + 1, 'and no more');

    $r->start_again;
    is($g[0]->quit, 0, 'nginx stops');
};


# 64 requests at a time, of which nobody knows what they will cost

subtest 'a budget of three gateways' => sub {
    my $r = redis();
    my $b = backend(answer => sub { return { delay => 0.05, body => 'x' } });
    my @g = nodes(3, $r, "rate=${\RATE}r/s capacity=${\BUDGET}",
                  more => "server { listen 127.0.0.1:%%PORT_cost%%;
                      location / { tbucket zone=g cost=${\ESTIMATE}
                                           settle=\$arg_c;
                                   proxy_pass http://${\$b->address}; } }");

    my @cost = map { 1 + int rand(10 * ESTIMATE) } 1 .. 20_000;
    my $begin = time();
    my @pids;

    for my $i (0 .. 2) {
        my $pid = fork() // die "fork: $!";
        if ($pid == 0) {
            load('127.0.0.1:' . $g[$i]->port('cost'),
                 sub { '/?k=all&c=' . $cost[(7000 * $i + $_[0]) % @cost] },
                 connections => $i ? 21 : 22, seconds => 6, timeout => 10);
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    waitpid($_, 0) for @pids;
    my $seconds = time() - $begin;

    my ($spent, $charged, $admitted) = (0, 0, 0);
    for (map { split /\n/, Gateway::slurp($_->dir . '/logs/cost.log') } @g) {
        my ($cost, $status, $was) = split / /;
        next if $status ne '200' || $cost eq '-';
        $admitted++;
        $spent += $cost;
        $charged += $was;
    }

    my $under = PARALLEL * 9 * ESTIMATE;
    cmp_ok($admitted, '>', PARALLEL, "requests were admitted (seed $seed)");
    is($charged, $spent, 'each is charged what it has cost');
    cmp_ok($spent, '<=', BUDGET + RATE * ($seconds + 0.1) + $under,
           "no more is spent than the budget, its refill and what the "
           . 'requests under way have under-estimated');
    cmp_ok($spent, '>=', 0.9 * BUDGET, 'and most of the budget');
    ok(wait_for(sub {
        abs(tokens($g[0], 'all')
            - (BUDGET + RATE * (time() - $begin) - $spent)) < 0.1 * BUDGET
    }, 3), 'what is left is what was not spent')
        or diag(tokens($g[0], 'all') . ' left, spent ' . $spent);
    note("$admitted admitted, $spent spent in $seconds s");
};

done_testing();
