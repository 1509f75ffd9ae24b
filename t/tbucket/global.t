
# scope=global: three nginx on one Redis admit no more than one would,
# whatever the mix of requests and whatever fails; and nearly as much.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use Gateway::Relay;
use IO::Socket::INET;
use JSON::PP;
use Nodes;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);


# One gateway of several; %o: zone, key, redis (or a URL), more (of http),
# place (of the server), workers, env, store (parameters), size.

sub node
{
    my ($name, %o) = @_;

    my $zone = $o{zone} // 'rate=100r/s capacity=100';
    my $key  = $o{key} // '$http_x_api_key';
    my $url  = ref $o{redis} ? $o{redis}->url : $o{redis};
    my $more = $o{more} // '';
    my $store = $o{store} // '';
    my $size = $o{size} // '2m';
    my $place = $o{place} // '';

    $store .= " shards=$ENV{TEST_SHARDS}" if $ENV{TEST_SHARDS};

    my $text = <<"END";
        tbucket_zone $key zone=g:$size $zone scope=global;
        tbucket_zone \$http_x_api_key zone=local:1m rate=1r/h capacity=3;
        tbucket_store $url node=$name $store;
        tbucket_log_level info;
        log_not_found off;
        $more
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=g; }
            location /five { tbucket zone=g cost=5; }
            location /dry { tbucket zone=g; tbucket_dry_run on; }
            location /both { tbucket zone=g; tbucket zone=local; }
            location /free { tbucket zone=g cost=0; tbucket zone=local; }
            location /clients { tbucket_api zone=g write=on; }
            location /metrics { tbucket_metrics; }
            $place
        }
END

    return $text if $o{text};
    return gateway($text, workers => $o{workers} // 2, log_level => 'notice',
                   env => $o{env} // {},
                   main => join("\n", map { "env $_;" } keys %{ $o{env} }));
}

sub up
{
    my ($up, @g) = @_;

    return wait_for(sub {
        return !grep { get($_, '/metrics')->{body} !~ /^tbucket_store_up $up$/m }
                     @g;
    }, 20);
}

sub nodes
{
    my ($n, %o) = @_;

    my @g = map { node("n$_", %o) } 1 .. $n;
    ok(joined($n, @g), "$n nodes know each other");

    return @g;
}

sub key { return ('X-Api-Key' => $_[0]) }

sub admitted
{
    my ($g, $key, $n, $uri) = @_;

    return load($g, $uri // '/none', requests => $n, connections => 4,
                headers => { key($key) })->{codes}{404} // 0;
}

# A whole bucket; the last token may come just after the last request.

sub is_used
{
    my ($n, $capacity, $name) = @_;

    ok($n <= $capacity && $n >= $capacity - 1, $name)
        or diag("$n of $capacity");
}

# Asks all nodes for that long, each as "mix" says: even, uneven, moving.

sub hammer
{
    my ($g, $key, $seconds, $mix, $during) = @_;

    my $begin = time();
    my (@pids, @pipes);

    for my $i (0 .. $#$g) {
        pipe(my $in, my $out) or die "pipe: $!";
        my $pid = fork() // die "fork: $!";

        if ($pid == 0) {
            my ($n, $all) = (0, 0);

            while (time() < $begin + $seconds) {
                my $turn = int(time() - $begin) % @$g;

                if ($mix eq 'moving' && $turn != $i) {
                    sleep 0.01;
                    next;
                }

                my $some = ($mix eq 'uneven' && $i > 0) ? 2 : 20;
                my $r = load($g->[$i], '/none', requests => $some,
                             connections => $some > 2 ? 4 : 1, timeout => 20,
                             headers => { key($key) });
                $n   += $r->{codes}{404} // 0;
                $all += $r->{total};
                sleep 0.02 if $some == 2;
            }

            syswrite($out, "$n $all\n");
            POSIX::_exit(0);
        }

        close($out);
        push @pids, $pid;
        push @pipes, $in;
    }

    $during->() if $during;

    my ($n, $all) = (0, 0);

    for my $in (@pipes) {
        my ($x, $y) = split ' ', (readline($in) // '0 0');
        $n += $x;
        $all += $y;
    }

    waitpid($_, 0) for @pids;

    return { admitted => $n, asked => $all, time => time() - $begin };
}

# At most what one bucket admits, and at least that part of it.

sub is_strict
{
    my ($r, $capacity, $rate, $part, $name) = @_;

    my $most = $capacity + $rate * $r->{time};
    my $least = $part * ($most < $r->{asked} ? $most : $r->{asked});

    ok($r->{admitted} <= $most, "$name: not above the limit")
        or diag("admitted $r->{admitted}, at most $most in $r->{time} s");
    ok($r->{admitted} >= $least, "$name: most of it")
        or diag("admitted $r->{admitted} of $r->{asked}, at least $least in "
                . "$r->{time} s");
    note(sprintf('%s: %d of %d in %.2f s, %.1f %% of the limit', $name,
                 $r->{admitted}, $r->{asked}, $r->{time},
                 100 * $r->{admitted} / $most));
}

subtest 'one bucket for three nodes' => sub {
    my $r = redis();
    my @g = nodes(3, redis => $r, zone => 'rate=1r/h capacity=30');

    my $first = get($g[0], '/none', headers => { key('a') });
    is($first->{code}, 404, 'the first request is admitted');
    like($first->{headers}{ratelimit} // '', qr/^"g";r=29;t=/,
         'and told what is left on all');

    my $n = 1;
    for (1 .. 30) { $n += admitted($_, 'a', 4) for @g; sleep 0.05 }

    cmp_ok($n, '<=', 30, 'not more than there are');
    cmp_ok($n, '>=', 28, 'nearly all of them');

    my $last = get($g[1], '/none', headers => { key('a') });
    is($last->{code}, 429, 'then all refuse');
    cmp_ok($last->{headers}{'retry-after'} // 0, '>', 60,
           'and say when to come back');

    is(admitted($g[2], 'b', 3), 3, 'others have buckets of their own');

    my ($key) = grep { /:bucket:/ } @{ $r->command('KEYS', '*') };
    like($key, qr/^tbucket:\{g(?:\.\d)?\}:bucket:[0-9a-f]{32}$/,
         'the key of one');
    cmp_ok($r->command('PTTL', $key), '>', 0, 'which expires');
    cmp_ok(figure($g[0], 'lease_granted_total'), '>', 0, 'leases are counted');
};


subtest 'a strict limit in every mix' => sub {
    my $r = redis();
    my @limits = (['even', 100, 100], ['uneven', 1000, 300],
                  ['moving', 200, 1000]);

    my @g = nodes(3, redis => $r);

    for my $l (@limits) {
        my ($mix, $capacity, $rate) = @$l;

        is(api($g[0], 'PUT', "/clients/$mix",
               { capacity => $capacity, rate_per_sec => $rate })->{code}, 201,
           "$mix: its limits");
        ok(wait_for(sub { !grep { get($_, "/clients/$mix")->{code} != 200 }
                          @g }), "$mix: are known to all");

        my $seconds = $mix eq 'moving' ? 3 : 2;
        is_strict(hammer(\@g, $mix, $seconds, $mix), $capacity, $rate, 0.6,
                  $mix);
    }
};


subtest 'a member of a plan is limited as the plan says' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=1r/h capacity=5',
                  place => 'location /plans { tbucket_api zone=g plans '
                           . 'write=on; }');

    is(api($g[0], 'PUT', '/plans/gold',
           { capacity => 20, rate_per_sec => 0.001 })->{code}, 201, 'a plan');
    is(api($g[0], 'PUT', '/clients/m', { plan => 'gold' })->{code}, 201,
       'its member');
    ok(wait_for(sub { !grep { get($_, '/clients/m')->{body} !~ /"capacity":20/ }
                      @g }), 'known to all');

    my $n = 0;
    for (1 .. 20) { $n += admitted($_, 'm', 4) for @g; sleep 0.05 }

    cmp_ok($n, '<=', 20, 'not more than the plan has');
    cmp_ok($n, '>=', 18, 'nearly all of it');
    is(get($_, '/none', headers => { key('m') })->{code}, 429,
       'then all refuse') for @g;
    unlike($_->log, qr/exited on signal/, 'no worker dies') for @g;
};


subtest 'who is blocked or unlimited stops the leases of nobody' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=10r/s capacity=20');

    for my $what (qw(blocked unlimited)) {
        is(api($g[0], 'PUT', "/clients/$what",
               { capacity => 20, rate_per_sec => 10 })->{code}, 201,
           'a client');
        cmp_ok(admitted($_, $what, 4), '>', 0, 'that has a lease') for @g;
        is(api($g[0], 'PATCH', "/clients/$what",
               { $what => JSON::PP::true })->{code}, 200, "is $what");

        for (1 .. 20) { admitted($_, $what, 1) for @g; sleep 0.1 }

        ok(up(1, @g), 'tokens are lent');
        cmp_ok(admitted($g[0], "not $what", 4), '>', 0, 'and to others');
    }

    unlike($_->log, qr/tokens cannot be leased/, 'redis refuses nothing')
        for @g;
};


subtest 'limits changed through the API hold on all nodes' => sub {
    my $r = redis();
    my @g = nodes(3, redis => $r, zone => 'rate=1r/h capacity=5');

    is(api($g[0], 'PUT', '/clients/u',
           { capacity => 40, rate_per_sec => 0.001 })->{code}, 201, 'PUT');
    ok(wait_for(sub { !grep { get($_, '/clients/u')->{code} != 200 } @g }),
       'reaches all');

    my $n = 0;
    for (1 .. 12) { $n += admitted($_, 'u', 4) for @g; sleep 0.1 }
    cmp_ok($n, '<=', 40, 'the new capacity');
    cmp_ok($n, '>=', 36, 'is used');

    my $p = api($g[1], 'PATCH', '/clients/u', { tokens => 10 });
    is($p->{code}, 200, 'tokens');
    is(decode_json($p->{body})->{tokens}, 10, 'are set');

    $n = 0;
    for (1 .. 12) { $n += admitted($_, 'u', 4) for @g; sleep 0.1 }
    cmp_ok($n, '<=', 11, 'for all nodes together');
    cmp_ok($n, '>=', 8, 'and can be used');
};


subtest 'the API shows what is left on all nodes' => sub {
    my $r = redis();
    my @g = nodes(3, redis => $r, zone => 'rate=1r/h capacity=30');

    my $shown = sub {
        my ($g, $key) = @_;
        my $body = get($g, "/clients/$key")->{body};
        return eval { int(decode_json($body)->{tokens}) } // $body;
    };
    my $code = sub { get($_[0], "/clients/$_[1]")->{code} };

    is(admitted($g[0], 'a', 12), 12, 'some are used on one node');

    for my $g (@g) {
        ok(wait_for(sub { $shown->($g, 'a') eq 18 }), 'all show the rest')
            or diag($shown->($g, 'a'));
    }

    like(get($g[1], '/clients/a')->{body}, qr/"registered":false/,
         'of a client that is not registered');
    is($code->($g[2], 'nobody'), 404, 'nothing is made up');

    my $res = api($g[0], 'PATCH', '/clients/a', { tokens => 7 });
    is($res->{code}, 200, 'its tokens are set through a node that has it');
    is(int(decode_json($res->{body})->{tokens}), 7, 'and shown');

    for my $g (@g) {
        ok(wait_for(sub { $shown->($g, 'a') eq 7 }), 'as all nodes do')
            or diag($shown->($g, 'a'));
    }

    is(admitted($g[0], 'a', 10), 7, 'as many are admitted');
    is(api($g[0], 'PATCH', '/clients/nobody', { tokens => 7 })->{code}, 404,
       'of one without a bucket there are none');
    is(api($g[0], 'DELETE', '/clients/nobody')->{code}, 404,
       'nor is it filled');
    is(api($g[0], 'DELETE', '/clients/a')->{code}, 204, 'one that is drained');
    is(admitted($g[0], 'a', 40), 30, 'is full again, and no more');

    is(api($g[0], 'PUT', '/clients/u',
           { capacity => 50, rate_per_sec => 0.001 })->{code}, 201, 'one is');
    ok(wait_for(sub { !grep { $shown->($_, 'u') ne 50 } @g }),
       'and has a full bucket');
    is(admitted($g[2], 'u', 20), 20, 'of which some are used');
    ok(wait_for(sub { !grep { $shown->($_, 'u') ne 30 } @g }),
       'as all nodes know');

    $r->kill;
    ok(wait_for(sub { $shown->($g[2], 'u') =~ /^[0-9]+$/ }),
       'without Redis what was seen last is shown');
    unlike($_->log, qr/\[alert\]|exited on signal/, 'nothing has broken')
        for @g;
};


subtest 'costs, dry run, several limits' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=1r/h capacity=20');

    my $five = 0;
    for (1 .. 8) { $five += admitted($_, 'c', 4, '/five') for @g; sleep 0.1 }
    is_used($five, 4, 'a cost of five');

    is(admitted($g[0], 'd', 9, '/dry') + admitted($g[1], 'd', 30, '/dry'),
       39, 'a dry run refuses nobody');
    like(get($g[0], '/metrics')->{body} . get($g[1], '/metrics')->{body},
         qr/zone="g",result="dry_run"\} [1-9]/, 'but counts');

    is(admitted($g[1], 'f', 10, '/free'), 3,
       'a cost of nothing needs no bucket, beside another limit');
    unlike(join(' ', @{ $r->command('KEYS', '*:bucket:*') }),
           qr/bucket.* .*bucket.* .*bucket/, 'and gets none');

    is(admitted($g[0], 'e', 10, '/both'), 3, 'the smaller of two limits');
    my $left = 0;
    for (1 .. 5) { $left += admitted($_, 'e', 20) for @g; sleep 0.1 }
    cmp_ok($left, '<=', 17, 'a refusal by the other');
    cmp_ok($left, '>=', 15, 'charges nothing here');
};


subtest 'requests that wait for a lease' => sub {
    my $r = redis();
    my ($g) = nodes(1, redis => $r, zone => 'rate=1r/h capacity=20',
                    workers => 1);

    is(admitted($g, 'warm', 1), 1, 'a client that has a lease');

    $r->pause;

    my @waiting = map {
        my $s = IO::Socket::INET->new('127.0.0.1:' . $g->port)
            or die "connect: $!";
        print $s "GET /none HTTP/1.1\r\nHost: a\r\nX-Api-Key: cold\r\n"
                 . "Connection: close\r\n\r\n";
        $s;
    } 1 .. 40;

    my $gone = IO::Socket::INET->new('127.0.0.1:' . $g->port);
    print $gone "GET /gone HTTP/1.1\r\nHost: a\r\nX-Api-Key: cold\r\n\r\n";
    sleep 0.05;
    close($gone);

    my $warm = get($g, '/none', headers => { key('warm') });
    is($warm->{code}, 404, 'others are served meanwhile');

    $r->resume;

    my %codes;
    for my $s (@waiting) {
        local $/ = "\r\n";
        my $line = readline($s) // '';
        $codes{ $line =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }++;
    }

    is(($codes{404} // 0) + ($codes{429} // 0), 40, 'all get an answer');
    cmp_ok($codes{404} // 0, '<=', 20, 'as many as there are tokens');
    cmp_ok($codes{404} // 0, '>=', 1, 'are admitted');

    ok(wait_for(sub { $g->access_log =~ m{GET /gone \S+" 499 } }),
       'a client that goes away is let go');
    is(admitted($g, 'after', 3), 3, 'and the worker goes on');
    unlike($g->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


subtest 'calls to Redis do not grow with requests' => sub {
    my $r = redis();
    my ($g) = nodes(1, redis => $r, zone => 'rate=1000r/s capacity=100',
                    key => '$connection-$each',
                    more => 'map $arg_each $each { 1 $connection_requests; }');

    # each connection is a client, or each request is

    for my $case ([20000, 16, '/none'], [500, 2, '/none?each=1']) {
        my ($n, $connections, $uri) = @$case;
        my $begin = time();
        my $before = figure($g, 'lease_calls_total');
        my $codes = load($g, $uri, requests => $n, timeout => 60,
                         connections => $connections)->{codes};
        my $calls = figure($g, 'lease_calls_total') - $before;
        my $ticks = (time() - $begin) / 0.005 * ($ENV{TEST_SHARDS} // 1);

        is($codes->{404} + ($codes->{429} // 0), $n, "$n requests");
        cmp_ok($calls, '<=', $ticks + 5, 'cause a call a tick, at most');
        cmp_ok($calls, '>', 2, 'but some');
        note(sprintf('%d calls in %.0f ticks', $calls, $ticks));
    }
};


subtest 'keys without room share a bucket of the node' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=40r/s capacity=60');

    # as many clients as there is room for

    my $n = 0;
    for my $many (1000, 100, 10, 1) {
        for (my $full = 0; $full < 20; ) {
            my @new = map { { client_id => 'r' . $n++, capacity => 1,
                              rate_per_sec => 1 } } 1 .. $many;
            $full++ if api($g[0], 'POST', '/clients', \@new)->{code} != 200;
        }
    }

    my $begin = time();
    my @crowded;
    for (my $i = 0; $i < 3000 && @crowded < 3; $i++) {
        my $res = get($g[0], '/none', headers => { key("new$i") });
        push @crowded, "new$i"
            if ($res->{headers}{'ratelimit-policy'} // '') =~ /;q=30;/;
    }
    is(scalar(@crowded), 3, 'some keys are charged to half of the limit')
        or diag("$n clients");

    my $used = 0;
    $used += admitted($g[0], $_, 80) for @crowded;
    cmp_ok($used, '<=', 30 + 20 * (time() - $begin), 'of which all share one');

    $begin = time();
    $used = 0;
    while (time() < $begin + 2) {
        $used += admitted($g[0], $_, 20) for @crowded;
    }
    my $most = 20 * (time() - $begin) + 1;
    cmp_ok($used, '<=', $most, 'no more than refills');
    cmp_ok($used, '>=', 0.8 * $most, 'and most of it');

    my $refused = wait_for(sub {
        my $res = get($g[0], '/none', headers => { key($crowded[0]) });
        return $res->{code} == 429 && $res;
    });
    is($refused && $refused->{headers}{'retry-after'}, 1,
       'the rest are told when to return');
    unlike($_->log, qr/\[alert\]|exited on signal/, 'nothing has broken')
        for @g;
};


subtest 'who asks for too much is refused at once on all nodes' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, more => <<'END');
        log_format times '$status $request_time';
        access_log %%DIR%%/times.log times if=$http_x_api_key;
END
    my @pids;

    for my $g (@g) {
        my $pid = fork() // die "fork: $!";

        if ($pid == 0) {
            load($g, '/none', requests => 3000, connections => 20,
                 timeout => 60, headers => { key('x') });
            POSIX::_exit(0);
        }

        push @pids, $pid;
    }

    waitpid($_, 0) for @pids;

    for my $g (@g) {
        my @lines;

        ok(wait_for(sub {
            open(my $in, '<', $g->dir . '/times.log') or return;
            return 3000 == (@lines = readline($in));
        }), 'all are logged');

        my @times = sort { $a <=> $b } map { /^429 (\S+)/ ? $1 : () } @lines;
        cmp_ok(@times, '>', 1500, 'most are refused');
        cmp_ok($times[@times * 0.9] // 'none', '<', 0.2,
               'which takes no time');
    }
};


subtest 'Redis is paused, killed, and comes back' => sub {
    my $r = redis();
    my @g = nodes(3, redis => $r);

    my $res = hammer(\@g, 'p', 4, 'even', sub {
        sleep 1;
        $r->pause;
        sleep 1.5;
        $r->resume;
    });
    is_strict($res, 100, 100, 0.5, 'paused');
    ok((grep { figure($_, 'degraded_seconds_total') > 0 } @g),
       'time without Redis is counted');

    $res = hammer(\@g, 'k', 5, 'even', sub {
        sleep 1;
        $r->kill;
        sleep 1.5;
        $r->start_again;
    });
    is_strict($res, 100, 100, 0.3, 'killed');

    ok(joined(3, @g), 'all are back');
    is_strict(hammer(\@g, 'b', 2, 'even'), 100, 100, 0.3, 'back');
};


# A node that cannot lease from the start: every kind of zone at once.

sub alone
{
    my ($g, $name) = @_;

    ok(wait_for(sub { get($g, '/metrics')->{body} =~ /^tbucket_store_up 0$/m }),
       "$name: is no store that is up");

    for my $uri ('/', '/second', '/local') {
        is(load($g, "${uri}none", requests => 12, connections => 2,
                headers => { key('a') })->{codes}{404} // 0, 3,
           "$name: $uri has the whole limit");
    }

    ok(wait_for(sub { figure($g, 'degraded_seconds_total') > 0 }),
       "$name: counts as time on its own");
    unlike($g->log, qr/\[alert\]|exited on signal/, "$name: nothing breaks");

    return $g;
}


subtest 'no lease from the start, for whatever reason' => sub {
    my $r = redis();
    my $replica = redis(replicaof => $r);

    $r->command(qw(ACL SETUSER few reset on >pw ~other:* +@all));
    $r->command(qw(ACL SETUSER less reset on >pw ~* +@all -mget));
    ok(wait_for(sub { $replica->command('INFO', 'replication')
                      =~ /master_link_status:up/ }), 'a replica');

    my $more = <<'END';
        tbucket_zone $http_x_api_key zone=h:1m rate=1r/h capacity=3
                     scope=global;
END
    my $n = 0;
    my $start = sub {
        my ($redis) = @_;

        # the first zone is not a global one, and there are two of those

        my $text = node('n' . $n++, redis => $redis, text => 1,
                        more => $more, zone => 'rate=1r/h capacity=3');
        $text =~ s/^(\s*tbucket_zone .* zone=g:.*\n)(.*\n)/$2$1/;
        $text =~ s/(location \/free)/location \/second { tbucket zone=h; }
                   location \/local { tbucket zone=local; }
                   $1/;

        return gateway($text, workers => 2, log_level => 'notice');
    };

    # each is gone before the next one, so that it does not join it

    alone($start->('redis://127.0.0.1:' . free_port()), 'nobody there')->stop;
    alone($start->('redis://few:pw@127.0.0.1:' . $r->port), 'no rights')->stop;
    alone($start->('redis://less:pw@127.0.0.1:' . $r->port),
          'no command')->stop;
    alone($start->($replica), 'a replica')->stop;

    $r->command(qw(CONFIG SET min-replicas-to-write 5));
    alone($start->($r), 'too few replicas')->stop;
    $r->command(qw(CONFIG SET min-replicas-to-write 0));

    $r->command(qw(CONFIG SET maxmemory 1));
    my $g = $start->($r);
    alone($g, 'no memory');

    $r->command(qw(CONFIG SET maxmemory 0));
    ok(joined(1, $g), 'when it grants, it is used');
    ok(wait_for(sub { get($g, '/metrics')->{body} =~ /^tbucket_store_up 1$/m }),
       'and up');
};


subtest 'the only node has all of the limit without Redis' => sub {
    my $r = redis();
    my ($g) = nodes(1, redis => $r, zone => 'rate=1r/h capacity=20');

    is(admitted($g, 'a', 5), 5, 'some is used');
    ok(wait_for(sub { get($g, '/metrics')->{body}
                      =~ /^tbucket_buckets\{zone="g"\} 0$/m }),
       'and the lease goes back');

    $r->pause;
    ok(up(0, $g), 'Redis is paused');
    is(admitted($g, 'b', 30), 20, 'a new client has a full bucket at once');
    is(admitted($g, 'a', 9), 9, 'one that was idle has the rest');

    my $refused = get($g, '/none', headers => { key('b') });
    is($refused->{code}, 429, 'and no more');
    cmp_ok($refused->{headers}{'retry-after'} // 0, '>', 3500,
           'and is told when to return');

    $r->resume;
    ok(up(1, $g), 'Redis is back');
    is(admitted($g, 'b', 5), 0, 'where what was used is used');
    is(admitted($g, 'a', 20), 6, 'and the rest is there');
    is(admitted($g, 'c', 30), 20, 'as are clients that were not here');

    $r->kill;
    ok(up(0, $g), 'Redis is killed');
    is(admitted($g, 'd', 5), 5, 'it goes on');
    $r->start_again;
    ok(joined(1, $g) && up(1, $g), 'Redis comes back empty');
    is(admitted($g, $_->[0], 30), $_->[1], "$_->[0] has what was left")
        for ['a', 0], ['b', 0], ['c', 0], ['d', 15], ['e', 20];
    unlike($g->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


subtest 'Redis comes to a node that was alone from the start' => sub {
    my $r = redis();
    $r->kill;
    my $g = node('n1', redis => $r, zone => 'rate=1r/h capacity=20');

    ok(up(0, $g), 'Redis is away');
    is(admitted($g, 'a', 12), 12, 'all of the limit is there');

    $r->start_again;
    ok(joined(1, $g) && up(1, $g), 'Redis comes');

    # what was used is told in whole milliseconds of refill, rounded up

    my $rest = admitted($g, 'a', 30);
    cmp_ok($rest, '<=', 8, 'with no more than the rest');
    cmp_ok($rest, '>=', 7, 'and hardly less');
    is(admitted($g, 'b', 30), 20, 'and all for others');
};


subtest 'requests that wait when Redis goes get the share' => sub {
    for my $timeout ('50ms', '2s') {
        my $r = redis();
        my $g = node("w$timeout", redis => $r, store => "timeout=$timeout",
                     zone => 'rate=1r/h capacity=20');
        ok(joined(1, $g), 'Redis is there');
        $r->pause;
        is(admitted($g, 'new', 4), 4, "timeout=$timeout: none is refused");
    }
};


subtest 'one of two nodes says when its share lets a client in' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=6r/m capacity=50');

    ok(wait_for(sub { admitted($g[1], 'warm', 1) }), 'both lease');
    $r->pause;
    ok(up(0, @g), 'Redis is away');

    my $refused = get($g[0], '/none', headers => { key('x') });
    is($refused->{code}, 429, 'a new client begins with nothing');

    my $after = $refused->{headers}{'retry-after'} // 0;
    ok($after > 10 && $after <= 20, 'half of the rate takes 20 s for one')
        or diag($after);
};


subtest 'a node that joins another waits until that one knows of it' => sub {
    my $r = redis();
    my ($first) = nodes(1, redis => $r, zone => 'rate=1r/h capacity=20');
    my $second = node('n2', redis => $r, zone => 'rate=1r/h capacity=20');

    is(admitted($second, 'x', 4), 4, 'its first requests are not refused');
};


subtest 'made-up keys make no tokens without Redis' => sub {
    plan skip_all => 'a small zone has no room for shards' if $ENV{TEST_SHARDS};
    my $r = redis();
    my ($g) = nodes(1, redis => $r, zone => 'rate=1r/h capacity=3',
                    size => '64k', workers => 1, key => '$arg_k$each',
                    more => 'map $arg_f $each { 1 $request_id; }');
    $r->pause;
    ok(up(0, $g), 'Redis is away');

    is(admitted($g, 'a', 6, '/none?k=victim'), 3, 'a client uses its bucket');

    my $slots = 64 * 1024 * 3 / 4 / 188;
    my $n = admitted($g, 'a', 3000, '/none?f=1');
    cmp_ok($n, '<=', 3 * $slots + 3, 'a flood gets what the table holds')
        or diag("$n");
    cmp_ok($n, '>=', 50, 'and some of that');
    is(admitted($g, 'a', 6, '/none?k=victim'), 0, 'and frees nobody');

    $r->resume;
    ok(up(1, $g), 'Redis is back');
    is(admitted($g, 'a', 6, '/none?k=victim'), 0, 'nor does its return');
};


subtest 'a zone that comes with a reload while Redis is away' => sub {
    my $r = redis();
    my $g = node('n1', redis => $r, zone => 'rate=1r/h capacity=3');
    ok(joined(1, $g), 'Redis is there');
    $r->kill;

    my $text = node('n1', redis => $r, zone => 'rate=1r/h capacity=3',
                    text => 1);
    $text =~ s/zone=local:1m rate=1r\/h capacity=3/$& scope=global/;
    $text =~ s/location \/dry/location \/new { tbucket zone=local; }\n$&/;
    $g->reload($text);

    is(admitted($g, 'a', 9, '/new'), 3, 'has the whole limit');
};


subtest 'one node is cut off from Redis alone' => sub {
    my $r = redis();
    my $relay = Gateway::Relay->start($r->port);
    my @g = (node('n1', redis => $relay),
             map { node("n$_", redis => $r) } 2 .. 3);
    ok(joined(3, @g), 'three nodes');

    my $res = hammer(\@g, 'x', 4, 'even', sub {
        sleep 1;
        $relay->pause;
        sleep 1.5;
        $relay->resume;
    });

    is_strict($res, 100, 100, 0.4, 'cut off');
    cmp_ok(figure($g[0], 'degraded_seconds_total'), '>', 0,
           'it was on its own');
    cmp_ok(figure($g[1], 'degraded_seconds_total'), '<',
           figure($g[0], 'degraded_seconds_total'), 'the others were not');

    $relay->kill;
};


subtest 'the clock of a node is stepped by an hour' => sub {
    # what comes before nginx in a sanitizer's run excludes it

    plan skip_all => 'the clock of this nginx cannot be faked'
        if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;

    my ($lib) = glob('/usr/lib/*/faketime/libfaketime.so.1');
    ok($lib, 'libfaketime is installed') or return;

    my $r = redis();
    my $file = temp_dir() . '/time';
    my $step = sub {
        open(my $out, '>', "$file.new") or die "$file.new: $!";
        print $out "$_[0]\n";
        close($out);
        rename("$file.new", $file) or die "$file: $!";
    };

    # what "date -s" changes; the monotonic clock cannot be set

    $step->('+0');
    my @g = (node('n1', redis => $r,
                  env => { LD_PRELOAD => $lib, FAKETIME_NO_CACHE => 1,
                           FAKETIME_DONT_FAKE_MONOTONIC => 1,
                           DONT_FAKE_MONOTONIC => 1,
                           FAKETIME_TIMESTAMP_FILE => $file }),
             map { node("n$_", redis => $r) } 2 .. 3);
    ok(joined(3, @g), 'three nodes');

    my $ahead = sub {
        my $date = get($g[0], '/metrics')->{headers}{date} // '';
        my ($h, $m) = $date =~ /(\d\d):(\d\d):\d\d/ or return -1;
        my @now = gmtime;
        return ($h * 60 + $m - $now[2] * 60 - $now[1]) % 1440;
    };

    my @seen;
    my $res = hammer(\@g, 'x', 6, 'even', sub {
        for my $to ('+3600', '+0', '-3600', '+0') {
            sleep 1;
            $step->($to);
            wait_for(sub { push @seen, $ahead->(); $seen[-1] % 60 < 2 });
        }
    });

    ok((grep { $_ >= 60 && $_ <= 61 } @seen), 'forth');
    ok((grep { $_ >= 1380 && $_ <= 1381 } @seen), 'and back');
    is_strict($res, 100, 100, 0.5, 'stepped');
    cmp_ok(figure($g[0], 'degraded_seconds_total'), '<', 2,
           'it was not on its own');
    unlike($g[0]->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


subtest 'a node is killed' => sub {
    my $r = redis();
    my @g = nodes(3, redis => $r);

    my $res = hammer(\@g, 'x', 3, 'even', sub {
        sleep 1;
        my @all = ($g[2]->pid, $g[2]->workers);
        CORE::kill('KILL', @all);
    });

    is_strict($res, 100, 100, 0.4, 'killed');
};


subtest 'a worker is killed' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r);

    my $res = hammer(\@g, 'x', 3, 'even', sub {
        for (1 .. 5) {
            sleep 0.3;
            CORE::kill('KILL', ($g[0]->workers)[0]);
        }
    });

    is_strict($res, 100, 100, 0.3, 'killed');
    is_strict(hammer(\@g, 'y', 2, 'even'), 100, 100, 0.4, 'after it');
};


subtest 'a graceful stop gives leases back, a reload keeps them' => sub {
    my $r = redis();
    my @g = nodes(2, redis => $r, zone => 'rate=1r/h capacity=100');

    my $n = admitted($g[0], 'x', 20);
    is($n, 20, 'some are used');

    $g[0]->reload;
    $n += admitted($g[0], 'x', 10);
    is($n, 30, 'more after a reload');

    $g[0]->quit;

    for (1 .. 40) { $n += admitted($g[1], 'x', 10); sleep 0.05 }
    cmp_ok($n, '<=', 100, 'another node gets no more than the rest');
    cmp_ok($n, '>=', 99, 'and all of it');
    ok(joined(1, $g[1]), 'and is told that it is alone');
};


subtest 'what costs more than the capacity is told of no time' => sub {
    my ($g) = nodes(1, redis => redis(), zone => 'rate=1r/s capacity=3');

    for my $taken (0, 3) {
        is(admitted($g, 'x', $taken), $taken, 'some are used') if $taken;

        my $res = get($g, '/five', headers => { key('x') });
        is($res->{code}, 429, 'refused');
        is($res->{headers}{'retry-after'}, undef, 'without Retry-After');
        unlike($res->{headers}{ratelimit}, qr/t=/, 'and without a time');
    }
};


subtest 'the scope changes with a reload' => sub {
    my $r = redis();
    my $g = node('n1', redis => $r, zone => 'rate=1r/h capacity=10');
    ok(joined(1, $g), 'global');
    is(api($g, 'PUT', '/clients/u',
           { capacity => 4, rate_per_sec => 0.001 })->{code}, 201, 'a client');

    my $text = node('n1', redis => $r, zone => 'rate=1r/h capacity=10',
                    text => 1);
    $g->reload($text =~ s/scope=global//r);
    is(admitted($g, 'new', 12), 10, 'to the node');
    is(get($g, '/clients/u')->{code}, 200, 'and clients are kept');

    $g->reload($text);
    ok(joined(1, $g), 'and back');
    is_used(admitted($g, 'other', 12), 10, 'to all');
    $g->reload($text);
    is_used(admitted($g, 'third', 12), 10, 'and once more');
    unlike($g->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


subtest 'another Redis is named with a reload' => sub {
    my @r = (redis(), redis());
    my %o = (zone => 'rate=1r/h capacity=6', text => 1);
    my $g = node('n1', redis => $r[0], %o, text => 0);

    is_used(admitted($g, 'x', 9), 6, 'all there is');
    $g->reload(node('n1', redis => $r[1], %o));
    is_used(admitted($g, 'x', 9), 6, 'buckets begin anew');
    unlike($g->log, qr/\[alert\]|exited on signal/, 'nothing has broken');
};


done_testing();
