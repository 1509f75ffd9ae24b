# scope=global with quota=: N in each window of the calendar, on all gateways
# together, whatever fails and however their clocks differ.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use Gateway::Relay;
use Nodes;
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Local qw(timegm);

# what comes before nginx in a sanitizer's run excludes it

plan skip_all => 'the clock of this nginx cannot be faked'
    if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;

my ($lib) = glob('/usr/lib/*/faketime/libfaketime.so.1');
BAIL_OUT('libfaketime is not installed') unless $lib;

my $dir = temp_dir();

my $late = backend(answer => sub { return { delay => 2.5, body => 'x' } });


# Sets the wall clock of gateways by their numbers; the machine's goes on.

sub clock
{
    my ($time, @n) = @_;
    my ($y, $m, $d, $h, $min, $s) = $time =~ /\d+/g;
    my $ahead = timegm($s, $min, $h, $d, $m - 1, $y) - time();

    for my $n (@n) {
        open(my $out, '>', "$dir/$n.new") or die "$dir/$n.new: $!";
        printf $out "%+.3f\n", $ahead;
        close($out);
        rename("$dir/$n.new", "$dir/$n") or die "$dir/$n: $!";
    }
}


sub node
{
    my ($n, $r, $zone, %o) = @_;

    my %env = (LD_PRELOAD => $lib, FAKETIME_NO_CACHE => 1,
               FAKETIME_TIMESTAMP_FILE => "$dir/$n",
               FAKETIME_DONT_FAKE_MONOTONIC => 1, DONT_FAKE_MONOTONIC => 1);
    my $store = $o{store} // '';
    my $url = ref $r ? $r->url : $r;

    return gateway(<<"END", workers => 2, log_level => 'notice', env => \%env,
        tbucket_zone \$arg_k zone=g:2m $zone scope=global;
        tbucket_store $url node=n$n $store;
        tbucket_log_level info;
        log_not_found off;
        server {
            listen 127.0.0.1:%%PORT%%;
            keepalive_requests 1000000;
            location / { tbucket zone=g cost=\$arg_e settle=\$arg_c
                                 plan=\$arg_p;
                         try_files /none \@ok; }
            location \@ok { return 204; }
            location /late { tbucket zone=g cost=\$arg_e settle=\$arg_c;
                             proxy_pass http://${\$late->address}; }
            location /fined { tbucket zone=g penalty=20;
                              try_files /none \@ok; }
            location /var { tbucket zone=g; try_files /none \@var; }
            location \@var { return 200 "\$tbucket_reset \$tbucket_remaining"; }
            location /clients { tbucket_api zone=g write=on; }
            location /plans { tbucket_api zone=g write=on plans; }
            location /metrics { tbucket_metrics; }
        }
END
        main => join("\n", map { "env $_;" } keys %env));
}


sub nodes
{
    my ($n, $r, $zone, %o) = @_;

    clock($o{at} // '2027-01-01 11:30:00', 1 .. $n);

    my @g = map { node($_, ref $r eq 'ARRAY' ? $r->[$_ - 1] : $r, $zone, %o) }
            1 .. $n;
    ok(joined($n, @g), "$n nodes know each other");

    return @g;
}


sub code { return get($_[0], $_[1])->{code} }


# Asks in turn, more often than is allowed; how many are admitted by each.

sub ask_all
{
    my ($g, $uri, $times, %o) = @_;
    my @n = (0) x @$g;

    for my $i (1 .. $times) {
        $n[$_] += code($g->[$_], $uri) == 204 for 0 .. $#$g;
        sleep($o{pause} // 0.02);
    }

    return wantarray ? @n : eval { my $sum = 0; $sum += $_ for @n; $sum };
}


sub none_wrong
{
    unlike($_->log, qr/exited on signal|\[(?:alert|emerg|crit)\]/,
           'nothing is wrong') for @_;
}


# Almost all of it, and no more.

sub is_used
{
    my ($n, $quota, $name) = @_;

    ok($n <= $quota && $n >= 0.95 * $quota, $name)
        or diag("$n of $quota");
}


subtest 'one quota on three gateways, in this window and the next' => sub {
    my $r = redis();
    my @g = nodes(3, $r, 'quota=60/hour');

    my $first = get($g[0], '/?k=a');
    is($first->{code}, 204, 'a request');
    is($first->{headers}{'ratelimit-policy'}, '"g";q=60;w=3600', 'its policy');
    like($first->{headers}{ratelimit}, qr/^"g";r=\d+;t=1[78]\d\d$/,
         'and the time to the boundary');

    is_used(1 + ask_all(\@g, '/?k=a', 40), 60, 'a quota is used');

    for my $g (@g) {
        my $no = get($g, '/?k=a');
        is($no->{code}, 429, 'all refuse');
        like($no->{headers}{'retry-after'}, qr/^1[78]\d\d$/,
             'up to the boundary');
        like($no->{headers}{ratelimit}, qr/^"g";r=0;t=1[78]\d\d$/,
             'of which all headers speak');
    }

    like(get($g[0], '/var?k=b')->{body}, qr/^1[78]\d\d \d+$/,
         'and $tbucket_reset');
    is(get($g[1], '/?k=a&e=61')->{headers}{'retry-after'}, undef,
       'what is more than the quota never passes');
    cmp_ok(tokens($g[2], 'a'), '<=', 3, 'the API shows that none is left');

    my ($key) = grep { /:bucket:/ } @{ $r->command('KEYS', '*') };
    like($key, qr/:bucket:[0-9a-f]{32}:\d{12}$/, 'a window has its own key');
    my $ttl = $r->command('PTTL', $key) / 1000;
    cmp_ok($ttl, '<=', 1800 + 3600, 'which is kept for an hour after it');
    cmp_ok($ttl, '>=', 1700 + 3500, 'and not less');

    clock('2027-01-01 11:59:59', 1 .. 3);
    ok(wait_for(sub { code($g[1], '/?k=a') == 204 }, 5), 'the next one opens');
    is_used(1 + ask_all(\@g, '/?k=a', 40), 60, 'and is a whole one');
    like(get($g[0], '/?k=a')->{headers}{'retry-after'}, qr/^3[56]\d\d$/,
         'which ends an hour later');

    is($_->quit, 0, 'nginx stops') for @g;
    none_wrong(@g);
};


subtest 'clocks that differ by a second' => sub {
    my $r = redis();
    my @g = nodes(3, $r, 'quota=90/day', at => '2027-01-01 23:59:30');

    is_used(scalar ask_all(\@g, '/?k=a', 50), 90, 'a quota is used');

    clock('2027-01-01 23:59:57', 1);
    clock('2027-01-01 23:59:58', 2, 3);
    my @n = ask_all(\@g, '/?k=a', 180);
    my $n = $n[0] + $n[1] + $n[2];
    is_used($n, 90, 'over the boundary no more than one further');
    is($n + ask_all(\@g, '/?k=a', 5), $n, 'and that is all');

    clock('2027-01-01 23:59:58', 1 .. 3);
    is(ask_all(\@g, '/?k=a', 5), 0, 'also where clocks are put back');
    none_wrong(@g);
};


subtest 'what is leased goes back, or is lost' => sub {
    my $r = redis();
    my @g = nodes(3, $r, 'quota=48/hour');

    my $n = ask_all(\@g, '/?k=a', 5);
    is($g[2]->quit, 0, 'a gateway stops');
    sleep 0.5;
    is(tokens($g[0], 'a'), 48 - $n, 'and gives back what it has');

    $n += ask_all([@g[0, 1]], '/?k=a', 5);
    $g[1]->kill;
    sleep 0.3;
    my $again = node(2, $r, 'quota=48/hour');
    ok(joined(2, $g[0], $again) || joined(3, $g[0], $again),
       'one that is killed comes back');
    ok(wait_for(sub {
        $n += code($_, '/?k=a') == 204 for $g[0], $again;
        return $n >= 34;
    }, 20), 'most is used') or diag($n);
    $n += ask_all([$g[0], $again], '/?k=a', 20);
    cmp_ok($n, '<=', 48, 'no token twice');

    $_->quit for $g[0], $again;
    $again = node(1, $r, 'quota=48/hour');
    ok(joined(1, $again), 'a start later');
    sleep 0.4;
    $n += ask_all([$again], '/?k=a', 60);
    cmp_ok($n, '<=', 48, 'what has been used stays so');
    none_wrong(@g, $again);
};


subtest 'without Redis each has its share' => sub {
    my $r = redis();
    my @relay = map { Gateway::Relay->start($r->port) } 1 .. 3;
    my @g = nodes(3, [map { $_->url } @relay], 'quota=60/hour',
                  store => 'timeout=200ms');

    my $n = ask_all(\@g, '/?k=a', 10);
    is($n, 30, 'half of it is used');
    sleep 0.6;

    $_->pause for @relay;
    sleep 0.6;
    my @n = ask_all(\@g, '/?k=a', 20);
    cmp_ok($_, '>=', 3, 'each has a part of the rest') for @n;
    cmp_ok($_, '<=', 11, 'which is a third') for @n;

    my @new = ask_all(\@g, '/?k=new', 25);
    cmp_ok($_, '>=', 19, 'or of all, for who has not been here') for @new;
    cmp_ok($_, '<=', 20, 'a third of that') for @new;

    my $no = get($g[1], '/?k=a');
    like($no->{headers}{'retry-after'}, qr/^1[78]\d\d$/,
         'a refusal is up to the boundary');
    like($no->{headers}{ratelimit}, qr/r=0;/, 'and says so');

    clock('2027-01-01 11:59:59', 1 .. 3);
    ok(wait_for(sub { code($g[0], '/?k=none&e=0.1') == 204 }, 5),
       'the next window opens without Redis');
    sleep 1;
    my @next = ask_all(\@g, '/?k=a', 15);
    is($_, 15, 'and has shares of its own') for @next;

    $_->resume for @relay;
    ok(wait_for(sub { (tokens($g[0], 'a') // 60) <= 15.1 }, 10),
       'Redis is told what was used meanwhile')
        or diag(tokens($g[0], 'a'));
    my $left = ask_all(\@g, '/?k=a', 20);
    is_used(45 + $left, 60, 'and lends the rest');

    clock('2027-01-01 12:59:59', 1 .. 3);
    sleep 1.5;
    is_used(scalar ask_all(\@g, '/?k=a', 40), 60, 'the next one is whole');
    none_wrong(@g);
};


subtest 'a gateway that is cut off keeps its share' => sub {
    my $r = redis();
    my $relay = Gateway::Relay->start($r->port);
    my @g = nodes(2, [$r->url, $relay->url], 'quota=100/hour',
                  store => 'timeout=200ms');

    my $n = ask_all(\@g, '/?k=a', 10);
    sleep 0.4;
    $relay->pause;
    sleep 0.6;

    my $here = ask_all([$g[0]], '/?k=a', 100, pause => 0.01);
    cmp_ok($here, '<=', 42, 'the others leave it what is its');
    cmp_ok($here, '>=', 33, 'and have the rest');
    my $no = get($g[0], '/?k=a');
    is($no->{headers}{'retry-after'}, 1, 'for as long as it may be there');

    my $there = ask_all([$g[1]], '/?k=a', 60, pause => 0.01);
    cmp_ok($there, '<=', 40, 'it has no more');
    cmp_ok($there, '>=', 33, 'and no less');
    $relay->resume;
    sleep 1;
    $n += $here + $there + ask_all(\@g, '/?k=a', 20);
    is_used($n, 100, 'all of it together');
    none_wrong(@g);
};


subtest 'settlement, penalties and debts end with the window' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'quota=100/hour');

    is(code($g[0], '/?k=a&e=50&c=10'), 204, 'a request');
    ok(wait_for(sub { abs((tokens($g[1], 'a') // 0) - 90) < 0.1 }, 3),
       'gives back what was too much') or diag(tokens($g[1], 'a'));
    is(code($g[1], '/?k=a&e=10&c=150'), 204, 'another costs more');
    ok(wait_for(sub { (tokens($g[0], 'a') // 0) < -59 }, 3),
       'and makes a debt') or diag(tokens($g[0], 'a'));
    is(code($_, '/?k=a'), 429, 'for which all refuse') for @g;

    code($g[0], '/?k=b&e=100');
    code($g[0], '/fined?k=b') for 1 .. 3;
    ok(wait_for(sub { (tokens($g[1], 'b') // 0) < -30 }, 3),
       'a penalty is one as well') or diag(tokens($g[1], 'b'));

    # the next window begins while these are under way

    my @slow = map { client($g[0]) } 1 .. 2;
    is(code($g[0], '/?k=c&e=1'), 204, 'a request');
    $slow[0]->send("GET /late?k=c&e=90&c=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    $slow[1]->send("GET /late?k=d&e=1&c=21 HTTP/1.1\r\nHost: x\r\n\r\n");
    sleep 0.5;
    clock('2027-01-01 11:59:59', 1 .. 2);
    sleep 1.2;
    is(code($_, '/?k=a'), 204, 'no debt outlives its window') for @g;
    is(code($_, '/?k=b'), 204, 'nor does a penalty') for @g;
    is(code($g[1], '/?k=c&e=30'), 204, 'the next window');
    is($_->response->{code}, 200, 'a request of the one before ends')
        for @slow;
    sleep 0.6;
    cmp_ok(tokens($g[0], 'c'), '<=', 70, 'and gives nothing back to this one');
    cmp_ok(tokens($g[0], 'd'), '<=', 80.1, 'but is charged in it');
    none_wrong(@g);
};


subtest 'clients, plans and units' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'quota=20000/day unit=1000');

    is(api($g[0], 'PUT', '/clients/a', { quota => 5000 })->{code}, 201,
       'a quota of its own');
    is(api($g[0], 'PUT', '/plans/gold', { quota => 9000 })->{code}, 201,
       'and a plan');
    ok(wait_for(sub { api($g[1], 'GET', '/plans/gold')->{code} == 200
                      && api($g[1], 'GET', '/clients/a')->{code} == 200 }, 5),
       'are known on the other node');

    is_used(1000 * ask_all(\@g, '/?k=a&e=1000', 5), 5000, 'its own counts');
    is_used(1000 * ask_all(\@g, '/?k=p&e=1000&p=gold', 10), 9000,
            'and so does a plan');

    my $seen = api($g[1], 'GET', '/clients/a')->{json};
    is($seen->{quota}, 5000, 'the API shows the quota');
    cmp_ok($seen->{tokens}, '<', 1000, 'and what is left');

    is(api($g[0], 'PATCH', '/clients/a', { tokens => 3000 })->{code}, 200,
       'tokens are set');
    cmp_ok(1000 * ask_all(\@g, '/?k=a&e=1000', 5), '==', 3000,
           'and are there once');
    is(api($g[1], 'PATCH', '/clients/a', { quota => 8000 })->{code}, 200,
       'a larger quota');
    sleep 0.3;
    is(1000 * ask_all(\@g, '/?k=a&e=1000', 5), 3000, 'is that much more');
    is(api($g[1], 'DELETE', '/clients/a')->{code}, 204, 'the client goes');
    none_wrong(@g);
};


subtest 'workers that are killed, and reloads' => sub {
    my $r = redis();
    my @g = nodes(2, $r, 'quota=200/hour', store => 'shards=4');
    my $n = 0;

    for my $round (1 .. 4) {
        $n += ask_all(\@g, '/?k=a', 10);
        if ($round % 2) { CORE::kill('KILL', $_) for $g[0]->workers; }
        else            { $g[1]->reload; }
        ok(wait_for(sub { code($_, '/none') }, 5), 'it is there again')
            for @g;
    }

    $n += ask_all(\@g, '/?k=a', 80);
    cmp_ok($n, '<=', 200, 'no token twice');
    cmp_ok($n, '>=', 190, 'and few are lost');
    is($_->quit, 0, 'nginx stops') for @g;
};

done_testing();
