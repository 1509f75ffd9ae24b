# inflight=N with scope=global: places are leased, so that all gateways of a
# Redis together have at most N requests of a client in flight, and nearly as
# many where they are asked for.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use Gateway::Process qw(fork_child finish);
use Gateway::Relay;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use List::Util qw(min);
use Nodes;
use Test::More;
use Time::HiRes qw(sleep time);


# A backend that counts what is in flight: /…?ms=M answers after so long,
# /stats says how many there are, the most there were, and how many on average
# since /reset.

sub counter
{
    my $listen = IO::Socket::INET->new(Listen => 1024, ReuseAddr => 1,
                                       LocalAddr => '127.0.0.1')
        or die "listen: $!";

    my $pid = fork_child(sub { serve($listen) });

    return { pid => $pid, port => $listen->sockport };
}

sub serve
{
    my ($listen) = @_;

    my $select = IO::Select->new($listen);
    my (%sock, %due, %in);
    my ($max, $area, $since) = (0, 0, time());
    my $last = $since;

    my $note = sub {
        my $now = time();
        $area += ($now - $last) * keys %due;
        $last = $now;
    };

    my $end = sub {
        my ($fd) = @_;
        $note->();
        delete $due{$fd};
        delete $in{$fd};
        my $s = delete $sock{$fd} or return;
        $select->remove($s);
        close($s);
    };

    my $answer = sub {
        my ($fd, $body) = @_;
        $note->();
        delete $due{$fd};
        syswrite($sock{$fd}, "HTTP/1.0 200 OK\r\nContent-Length: "
                             . length($body) . "\r\n\r\n$body");
        $end->($fd);
    };

    while (1) {
        my $next = min(values %due) // time() + 1;
        my $wait = $next - time();

        for my $s ($select->can_read($wait > 0 ? $wait : 0)) {
            if ($s == $listen) {
                my $c = $listen->accept or next;
                $sock{ fileno($c) } = $c;
                $in{ fileno($c) } = '';
                $select->add($c);
                next;
            }

            my $fd = fileno($s);

            if (!sysread($s, $in{$fd}, 65536, length $in{$fd})) {
                $end->($fd);
                next;
            }

            next if $in{$fd} !~ /\r\n\r\n/ || exists $due{$fd};

            if ($in{$fd} =~ m{^GET /(stats|reset) }) {
                $note->();
                my $time = $last - $since;
                my $body = encode_json({ now => scalar(keys %due), max => $max,
                                         mean => $area / ($time || 1) });
                ($max, $area, $since) = (scalar(keys %due), 0, $last)
                    if $1 eq 'reset';
                $answer->($fd, $body);
                next;
            }

            $note->();
            $due{$fd} = time() + ($in{$fd} =~ /ms=(\d+)/ ? $1 : 0) / 1000;
            my $n = keys %due;
            $max = $n if $n > $max;
        }

        my $now = time();
        $answer->($_, "done\n") for grep { $due{$_} <= $now } keys %due;
    }
}

sub stats
{
    my ($b, $what) = @_;

    return decode_json(get($b->{port}, '/' . ($what // 'stats'))->{body});
}


# One gateway of several; %o: zone, redis (or a URL), store (parameters), more
# (of the server).  Redis may be slow, unless that is what is tested.

sub node
{
    my ($name, $b, %o) = @_;

    my $url = ref $o{redis} ? $o{redis}->url : $o{redis};
    my $more = $o{more} // '';
    my $shards = $ENV{TEST_SHARDS} ? "shards=$ENV{TEST_SHARDS}" : '';
    my $store = $o{store} // 'timeout=10s';

    return gateway(<<~END, workers => $o{workers} // 2, log_level => 'notice');
        tbucket_zone \$arg_key zone=g:@{[ $o{size} // '2m' ]}
                     @{[ $o{zone} // 'inflight=20' ]} scope=global;
        tbucket_zone \$arg_key zone=rate:1m rate=1r/h capacity=3;
        tbucket_store $url node=$name $shards $store;
        tbucket_log_level info;
        access_log off;
        server {
            listen 127.0.0.1:%%PORT%%;
            proxy_read_timeout 300s;
            location / { tbucket zone=g; proxy_pass http://127.0.0.1:$b->{port}; }
            location /both { tbucket zone=g; tbucket zone=rate;
                             proxy_pass http://127.0.0.1:$b->{port}; }
            location /clients { tbucket_api zone=g write=on; }
            location /plans { tbucket_api zone=g plans write=on; }
            location /metrics { tbucket_metrics; }
            $more
        }
        END
}

sub nodes
{
    my ($n, $b, %o) = @_;

    my @g = map { node("n$_", $b, %o) } 1 .. $n;
    ok(joined($n, @g), "$n nodes know each other");

    return @g;
}


# Clients of one gateway, in a process of their own: each asks for the URI all
# the time, and again 5 ms after it was refused.

sub clients
{
    my ($g, $uri, $n) = @_;

    my $port = $g->port;

    return fork_child(sub {
        my $select = IO::Select->new;
        my (%sock, %in, %again);

        my $ask = sub {
            my ($fd) = @_;
            $in{$fd} = '';
            syswrite($sock{$fd}, "GET $uri HTTP/1.1\r\nHost: a\r\n\r\n");
        };

        my $dial = sub {
            my $s = IO::Socket::INET->new("127.0.0.1:$port") or return;
            $sock{ fileno($s) } = $s;
            $select->add($s);
            $ask->(fileno($s));
        };

        while (1) {
            $dial->() while keys %sock < $n;

            for my $s ($select->can_read(0.005)) {
                my $fd = fileno($s);

                if (!sysread($s, $in{$fd}, 65536, length $in{$fd})) {
                    $select->remove($s);
                    delete $sock{$fd};
                    delete $again{$fd};
                    close($s);
                    next;
                }

                my ($head, $len) = $in{$fd}
                    =~ /^(.*?Content-Length: (\d+).*?\r\n\r\n)/s or next;
                next if length($in{$fd}) < length($head) + $len;

                if ($in{$fd} =~ m{^HTTP/1.1 200}) { $ask->($fd) }
                else                              { $again{$fd} = time() }
            }

            for my $fd (keys %again) {
                next if time() - $again{$fd} < 0.005;
                delete $again{$fd};
                $ask->($fd);
            }
        }
    });
}


# Requests that are under way until the connection is closed.

sub begin
{
    my ($g, $uri) = @_;

    my $c = client($g);
    $c->send("GET $uri HTTP/1.1\r\nHost: a\r\n\r\n");

    return $c;
}

sub used { return figure($_[0], 'inflight') }


# Sleeps; whether this machine was so busy meanwhile that gateways may have got
# no lease for so long that each went on with its share.

sub held_up
{
    my ($seconds) = @_;

    my $now = time();
    my $end = $now + $seconds;
    my $held = 0;

    while ($now < $end) {
        sleep 0.02;
        my $last = $now;
        $now = time();
        $held = 1 if $now - $last > 0.15;
    }

    return $held;
}


# What is in flight in a second, once it is what is awaited.

sub settled
{
    my ($b, $awaited) = @_;

    my $s;

    for (1 .. 8) {
        stats($b, 'reset');
        sleep 1;
        $s = stats($b);
        last if $awaited->($s);
    }

    return $s;
}


subtest 'three gateways have as many in flight as one would' => sub {
    my $r = redis();
    my $b = counter();
    my @g = nodes(3, $b, redis => $r);

    for my $mix (['even', 20, 20, 20], ['uneven', 40, 4, 1],
                 ['one alone', 0, 30, 0], ['two', 15, 0, 15])
    {
        my ($name, @n) = @$mix;
        my @pids = map { $n[$_] ? clients($g[$_], '/?key=a&ms=500', $n[$_])
                                : () } 0 .. 2;
        my ($s, $max) = (undef, 0);

        # a busy machine gets another try

        for (1 .. 5) {
            sleep 3;
            stats($b, 'reset');
            my $held = held_up(3);
            $s = stats($b);
            next if $held && $s->{max} > 20;
            $max = $s->{max} if $s->{max} > $max;
            last if $s->{mean} >= 19;
        }

        finish($_) for @pids;

        note(sprintf('%s: at most %d, %.1f %% on average', $name, $max,
                     $s->{mean} * 5));
        cmp_ok($max, '<=', 20, "$name: never more than the limit");
        cmp_ok($s->{mean}, '>=', 19, "$name: nearly all places are used");
        ok(wait_for(sub { !grep { used($_) } @g }), "$name: all come back");
    }

    is($_->quit, 0, 'a gateway stops') for @g;
    unlike($_->log, qr/\[(?:alert|crit|emerg|error)\]/, 'no complaints')
        for @g;
    finish($b->{pid});
};

subtest 'a client, a plan, and what they are told' => sub {
    my $r = redis();
    my $b = counter();
    my @g = nodes(2, $b, redis => $r, zone => 'inflight=3');

    is(api($g[0], 'PUT', '/clients/own', { inflight => 5 })->{code}, 201,
       'a client has a limit of his own');
    is(api($g[0], 'PUT', '/plans/gold', { inflight => 4 })->{code}, 201,
       'there is a plan');
    is(api($g[0], 'PUT', '/clients/member', { plan => 'gold' })->{code}, 201,
       'and who has it');
    is(api($g[0], 'PUT', '/clients/free', { unlimited => JSON::PP::true })
       ->{code}, 201, 'one is not limited');
    is(api($g[0], 'PUT', '/clients/bad', { blocked => JSON::PP::true })
       ->{code}, 201, 'one is blocked');
    ok(wait_for(sub { get($g[1], '/clients/bad')->{code} == 200 }),
       'the other node knows of them');

    for (['own', 5], ['member', 4], ['other', 3]) {
        my ($key, $n) = @$_;
        my @c = map { begin($g[$_ % 2], "/?key=$key&ms=60000") } 1 .. $n;
        ok(wait_for(sub { used($g[0]) + used($g[1]) == $n }),
           "$key: $n are in flight on two nodes")
            or diag(used($g[0]) . ' + ' . used($g[1]));

        my $res = get($g[0], "/?key=$key");
        is($res->{code}, 429, "$key: and no more");
        is($res->{headers}{'retry-after'}, 1, "$key: Retry-After");
        is($res->{headers}{'ratelimit-policy'},
           qq("g";q=$n;qu="concurrent-requests"), "$key: the policy");
        is($res->{headers}{ratelimit}, '"g";r=0;t=1', "$key: nothing is left");

        my $shown = decode_json(get($g[1], "/clients/$key")->{body});
        is($shown->{inflight}, $n, "$key: the API has the limit");
        is($shown->{used}, int($n / 2) + $n % 2, "$key: and what this node's "
           . 'requests use');

        undef @c;
        ok(wait_for(sub { !grep { used($_) } @g }), "$key: they are over");
        ok(wait_for(sub { get($g[0], "/?key=$key")->{code} == 200 }),
           "$key: and others are admitted");
    }

    my @c = map { begin($g[0], '/?key=free&ms=60000') } 1 .. 12;
    ok(wait_for(sub { stats($b)->{now} == 12 }),
       'who is not limited has any number');
    is(get($g[1], '/?key=bad')->{code}, 403, 'who is blocked has none');
    undef @c;

    # with another limit, all or nothing

    is(get($g[0], '/both?key=two')->{code}, 200, "with a rate: $_")
        for 1 .. 3;
    is(get($g[0], '/both?key=two')->{code}, 429, 'the rate is used up');
    ok(wait_for(sub { !used($g[0]) }), 'and no place is held');

    finish($b->{pid});
};


subtest 'reload, killed workers, a smaller limit' => sub {
    my $r = redis();
    my $b = counter();
    my @g = nodes(2, $b, redis => $r, zone => 'inflight=6');

    my @c = map { begin($g[$_ % 2], '/?key=a&ms=60000') } 1 .. 6;
    ok(wait_for(sub { stats($b)->{now} == 6 }), 'all places are in use');

    ok($g[0]->reload, 'one is reloaded');
    is(used($g[0]), 3, 'requests of old workers count');
    is(get($g[$_], '/?key=a')->{code}, 429, "node $_ refuses") for 0, 1;

    kill('KILL', $g[1]->workers);
    ok(wait_for(sub { used($g[1]) == 0 }), 'places of killed workers are free');
    ok(wait_for(sub { get($g[0], '/?key=a')->{code} == 200 }),
       'and the other node gets some of them');
    cmp_ok(stats($b)->{max}, '<=', 6, 'there were never more');
    undef @c;

    finish($b->{pid});
};


subtest 'a full zone gives up no place that is in use' => sub {
    my $r = redis();
    my $b = counter();
    my @g = nodes(2, $b, redis => $r, zone => 'inflight=2', size => '128k');

    my @c = map { begin($g[0], "/?key=$_&ms=60000") } (1 .. 5) x 2;
    ok(wait_for(sub { stats($b)->{now} == 10 }), 'five clients have two each');

    my $n = load($g[0], sub { "/?key=flood$_[0]" }, requests => 1500,
                 connections => 8)->{codes};
    cmp_ok($n->{200}, '>=', 1400, 'there is room for many others')
        or diag(encode_json($n));
    is(get($g[1], "/?key=$_")->{code}, 429, "$_ has no third place")
        for 1 .. 5;
    is(used($g[0]), 10, 'what is in use is known');
    undef @c;
    ok(wait_for(sub { used($g[0]) == 0 }), 'and comes back');

    finish($b->{pid});
};


subtest 'a gateway that is cut off has its share' => sub {
    my $r = redis();
    my $b = counter();
    my $relay = Gateway::Relay->start($r->port);
    my @g = (node('n1', $b, redis => $relay, store => ''),
             node('n2', $b, redis => $r, store => ''));
    ok(joined(2, @g), 'two nodes');

    my @pids = (clients($g[0], '/?key=a&ms=50', 30));
    ok(wait_for(sub { stats($b)->{now} == 20 }), 'one node has all places');

    $relay->pause;
    sleep 1.5;
    is(settled($b, sub { $_[0]{max} == 10 })->{max}, 10,
       'cut off, it goes on with its share');

    push @pids, clients($g[1], '/?key=a&ms=50', 30);
    sleep 1;
    cmp_ok(stats($b)->{max}, '<=', 10,
           'the other one has nothing of what it had');

    $relay->resume;
    sleep 2;
    my $s = settled($b, sub { $_[0]{max} <= 20 && $_[0]{mean} >= 18 });
    cmp_ok($s->{max}, '<=', 20, 'back again: never more than the limit');
    cmp_ok($s->{mean}, '>=', 18, 'and nearly as many');

    $r->stop;
    sleep 2;
    is(settled($b, sub { $_[0]{max} == 20 })->{max}, 20,
       'without Redis, both have their share');

    finish($_) for @pids, $b->{pid};
    $relay->kill;
};


subtest 'a gateway is killed' => sub {
    my $r = redis();
    my $b = counter();
    my @g = nodes(2, $b, redis => $r);

    my $pid = clients($g[0], '/?key=a&ms=50', 30);
    ok(wait_for(sub { stats($b)->{now} == 20 }), 'one node has all places');
    finish($pid);
    $g[0]->kill;

    my $begin = time();
    my $pid2 = clients($g[1], '/?key=a&ms=50', 30);
    sleep 2;
    is(stats($b)->{now}, 0, 'its places are not given away at once');

    ok(wait_for(sub { stats($b)->{now} >= 10 }, 70), 'others get them');
    my $time = time() - $begin;
    note(sprintf('after %.1f s', $time));
    cmp_ok($time, '<=', 60, 'within a minute');
    finish($_) for $pid2, $b->{pid};
};

done_testing();
