# Plans, and what clients are given beside limits, in both stores: what was
# answered with 2xx is there after kill -9, what people change is in force, and
# other nodes follow.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);


sub text
{
    my ($store, $limit) = @_;

    $limit //= 'rate=1r/h capacity=3';

    return <<"END";
    tbucket_store $store;
    tbucket_zone \$http_x_api_key zone=z:4m $limit;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { tbucket zone=z; try_files /none =204; }
        location /clients { tbucket_api zone=z write=on; }
        location /plans { tbucket_api zone=z plans write=on; }
    }
END
}

sub limits { return { capacity => $_[0], rate_per_sec => $_[1] } }

# What the API shows of a client or plan: the plan, capacity and flags.

sub shown
{
    my ($g, $uri) = @_;

    my $c = api($g, 'GET', $uri)->{json} // {};

    return join ' ', $c->{plan} // '-', $c->{capacity} // '-',
                     grep { $c->{$_} } qw(blocked unlimited);
}

sub becomes
{
    my ($g, $uri, $want, $name, $timeout) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for(sub { shown($g, $uri) eq $want }, $timeout);
    is(shown($g, $uri), $want, $name);
}

# A life of clients and plans: written, killed, there again.

sub survives
{
    my ($g) = @_;

    is(api($g, 'PUT', '/plans/gold', limits(5, 0.001))->{code}, 201, 'a plan');
    is(api($g, 'PUT', '/clients/a', { plan => 'gold' })->{code}, 201,
       'a client that has it');
    is(api($g, 'POST', '/clients', [
           { client_id => 'b', %{ limits(7, 1) }, blocked => JSON::PP::true },
           { client_id => 'c', plan => 'none', unlimited => JSON::PP::true },
           { client_id => 'd', blocked => JSON::PP::false } ])->{code}, 200,
       'others');
    is(api($g, 'PATCH', '/plans/gold', { capacity => 6 })->{json}{capacity}, 6,
       'the plan is changed');
    is(api($g, 'PATCH', '/clients/b', { rate_per_sec => 2 })->{json}{capacity},
       7, 'a part of a client');
    is(api($g, 'PATCH', '/clients/a', { capacity => 2 })->{code}, 400,
       'but not of one that has a plan');
    is(api($g, 'DELETE', '/plans/gold')->{code}, 409, 'which is in use');

    $g->kill;
    $g->start;

    becomes($g, '/plans/gold', 'gold 6', 'all is there after kill -9');
    is(shown($g, '/clients/a'), 'gold 6', 'with its plan');
    is(shown($g, '/clients/b'), '- 7 blocked', 'with its limits');
    is(shown($g, '/clients/c'), 'none 3 unlimited', 'with a plan to be');
    is(shown($g, '/clients/d'), '- 3', 'without any');
    is(get($g, '/', headers => { 'X-API-Key' => 'b' })->{code}, 403,
       'who is blocked is blocked');

    is(api($g, 'PUT', '/plans/none', limits(9, 1))->{code}, 201,
       'the plan that was named is made');
    is(shown($g, '/clients/c'), 'none 9 unlimited', 'and in force');
}

# Plans and clients are written until nginx is killed: what was answered is
# what there is.

sub rounds
{
    my ($g, $rounds) = @_;

    my (%plans, %clients, $n, @lost);

    for my $round (1 .. $rounds) {
        my $pid = fork() // die $!;

        if ($pid == 0) {
            sleep(rand(0.15));
            kill('KILL', $g->pid, $g->workers);
            POSIX::_exit(0);
        }

        for (1 .. 100) {
            $n++;
            my $p = 'p' . $n % 5;
            my $r = eval { api($g, 'PUT', "/plans/$p", limits(1 + $n % 900, 1)) };
            last if !$r || ($r->{code} // 0) !~ /^20/;
            $plans{$p} = 1 + $n % 900;
            my $c = 'c' . $n % 7;
            $r = eval { api($g, 'PUT', "/clients/$c", { plan => $p }) };
            last if !$r || ($r->{code} // 0) !~ /^20/;
            $clients{$c} = $p;
        }

        waitpid($pid, 0);
        $g->kill;
        $g->start;
        wait_for(sub { api($g, 'GET', '/plans')->{code} == 200 });

        # the last write may be there, though it was not answered

        my ($p, $c) = ('p' . $n % 5, 'c' . $n % 7);
        for (keys %plans) {
            my $have = api($g, 'GET', "/plans/$_")->{json}{capacity} // 0;
            push @lost, "round $round plan $_: $have, not $plans{$_}"
                if $have != $plans{$_} && !($_ eq $p
                                            && $have == 1 + $n % 900);
            $plans{$_} = $have;
        }
        for (keys %clients) {
            my $have = api($g, 'GET', "/clients/$_")->{json}{plan} // '';
            push @lost, "round $round client $_: $have, not $clients{$_}"
                if $have ne $clients{$_} && !($_ eq $c && $have eq $p);
            $clients{$_} = $have;
        }
    }

    is_deeply(\@lost, [], "nothing is lost in $rounds rounds, $n writes");
}


subtest 'SQLite' => sub {
    my $g = gateway(text('sqlite:%%DIR%%/store/c.db interval=200ms'),
                    workers => 2);
    my $sql = sub {
        my ($text) = @_;
        open(my $out, '-|', 'sh', '-c',
             'exec sqlite3 -cmd ".timeout 5000" "$0" "$1" 2>&1',
             $g->dir . '/store/c.db', $text) or die "sqlite3: $!\n";
        local $/;
        return (<$out> // '') =~ s/\n\z//r;
    };

    survives($g);

    is($sql->("SELECT plan, capacity FROM plans ORDER BY plan"),
       "gold|6\nnone|9", 'plans are rows');
    $sql->("UPDATE plans SET capacity = 8 WHERE plan = 'gold'");
    becomes($g, '/clients/a', 'gold 8', 'people edit them');
    $sql->("UPDATE plans SET plan = 'pure' WHERE plan = 'gold'");
    becomes($g, '/clients/a', 'gold 3', 'one is renamed');
    is(shown($g, '/plans/pure'), 'pure 8', 'and there by its name');
    $sql->("UPDATE clients SET plan = 'pure', unlimited = 1 WHERE id = 'a'");
    becomes($g, '/clients/a', 'pure 8 unlimited', 'as are clients');
    $sql->("DELETE FROM plans WHERE plan = 'pure'");
    becomes($g, '/plans/pure', '- -', 'one is removed');

    for my $case (
        ["plans (zone, plan, capacity, rate_per_sec) VALUES ('z', 'a b', 1, 1)",
         'plan is 1 to 64 visible ASCII characters'],
        ["plans (zone, plan, capacity) VALUES ('z', 'a', 1)",
         'capacity and rate_per_sec go together'],
        ["plans (zone, plan) VALUES ('z', 'a')", 'a plan has limits of one'],
        ["plans (zone, plan, quota) VALUES ('z', 'a', 5)",
         'limits of another kind than the zone has'],
        ["plans (zone, plan, capacity, rate_per_sec)"
         . " VALUES ('z', 'a', 1000001, 1)", 'capacity is an integer from 1'],
        ["clients (zone, id, plan, capacity, rate_per_sec)"
         . " VALUES ('z', 'a', 'p', 1, 1)",
         'a client has limits of one kind, or a plan'],
        ["clients (zone, id, inflight) VALUES ('z', 'x', 1)",
         'limits of another kind than the zone has'],
        ["clients (zone, id, blocked) VALUES ('z', 'x', 2)",
         'blocked is 0 or 1'])
    {
        like($sql->("INSERT INTO $case->[0]"), qr/\Q$case->[1]/,
             "$case->[1]: as the API");
    }

    rounds($g, $ENV{TEST_ROUNDS} // 10);
};

subtest 'Redis' => sub {
    my $r = redis(appendonly => 1);
    my $store = $r->url . ' interval=1s timeout=5s';
    my $g = gateway(text("$store node=g"), workers => 2);

    survives($g);

    is($r->command('HGET', 'tbucket:{z}:plans', 'gold'),
       '{"capacity":6,"rate_per_sec":0.001}', 'plans are values');
    is($r->command('HGET', 'tbucket:{z}:clients', 'a'), '{"plan":"gold"}',
       'and so are clients');
    is($r->command('HGET', 'tbucket:{z}:clients', 'b'),
       '{"capacity":7,"rate_per_sec":2,"blocked":true}', 'with all they have');

    my $h = gateway(text("$store node=h"), workers => 2);
    becomes($h, '/clients/a', 'gold 6', 'another node has them');

    my @took;
    for my $capacity (11 .. 20) {
        api($g, 'PATCH', '/plans/gold', { capacity => $capacity });
        my $begin = time();
        wait_for(sub { shown($h, '/clients/a') eq "gold $capacity" });
        push @took, time() - $begin;
    }
    @took = sort { $a <=> $b } @took;
    cmp_ok($took[7], '<', 0.1, sprintf('a change is there after %d ms (%d)',
                                       $took[7] * 1000, $took[-1] * 1000));

    $r->command('HSET', 'tbucket:{z}:plans', 'gold',
                '{"rate_per_sec":1,"capacity":33}');
    becomes($_, '/clients/a', 'gold 33', 'one by hand as well', 5)
        for $g, $h;
    $r->command('HSET', 'tbucket:{z}:plans', 'gold', '{"capacity":0}');
    like($g->wait_log(qr/value of "gold"/) . $h->log,
         qr/value of "gold" in "tbucket:\{z\}:plans" is skipped: capacity is 0/,
         'a malformed one is told');
    is(shown($g, '/clients/a'), 'gold 33', 'and skipped');
    is(api($g, 'PATCH', '/plans/gold', { capacity => 34 })->{code}, 200,
       'a change is made of what is in force');
    becomes($h, '/clients/a', 'gold 34', 'everywhere');
    is(api($h, 'DELETE', '/plans/gold')->{code}, 409, 'it is in use');
    api($g, 'DELETE', '/plans/none');
    $r->command('HDEL', 'tbucket:{z}:plans', 'gold');
    becomes($_, '/clients/a', 'gold 3', 'one that is removed by hand', 5)
        for $g, $h;

    api($g, 'PUT', '/plans/gold', limits(40, 1));
    becomes($h, '/clients/a', 'gold 40', 'is made again');
    $r->command('FLUSHALL');
    ok(wait_for(sub { eval { $r->command('HGET', 'tbucket:{z}:plans',
                                         'gold') } }, 20),
       'an empty Redis gets plans back');
    ok(wait_for(sub { $r->command('HLEN', 'tbucket:{z}:clients') == 4 }, 20),
       'and clients');
    is(shown($h, '/clients/a'), 'gold 40', 'which are in force');

    $h->quit;
    rounds($g, $ENV{TEST_ROUNDS} // 10);
};

subtest 'quotas, places and units' => sub {
    for my $case (['quota=4/month', { quota => 6 }, '{"quota":6}'],
                  ['inflight=4', { inflight => 6 }, '{"inflight":6}'],
                  ['rate=1000r/h capacity=3000 unit=1000', limits(5000, 1000),
                   '{"capacity":5000,"rate_per_sec":1000}'])
    {
        my ($limit, $given, $value) = @$case;

        my $r = redis();
        my $g = gateway(text($r->url . ' timeout=5s', $limit));
        is(api($g, 'PUT', '/plans/p', $given)->{code}, 201, $limit);
        is(api($g, 'PUT', '/clients/a', $given)->{code}, 201, 'a client');
        is($r->command('HGET', 'tbucket:{z}:plans', 'p'), $value, 'in Redis');
        is($r->command('HGET', 'tbucket:{z}:clients', 'a'), $value, 'both');
        my $was = api($g, 'GET', '/clients/a')->{body};
        $g->kill;
        $g->start;
        is(api($g, 'GET', '/clients/a')->{body}, $was, 'and after kill -9');

        $g = gateway(text('sqlite:%%DIR%%/store/c.db', $limit));
        is(api($g, 'PUT', '/plans/p', $given)->{code}, 201, 'SQLite');
        is(api($g, 'PUT', '/clients/a', $given)->{code}, 201, 'a client');
        $g->kill;
        $g->start;
        is(api($g, 'GET', '/clients/a')->{body}, $was, 'after kill -9');
        is_deeply(api($g, 'GET', '/plans/p')->{json},
                  { plan => 'p', %$given }, 'as is the plan');
    }
};

done_testing();
