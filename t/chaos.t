# Everything at once, with an account of our own: load, clients that go in the
# middle, killed and stopped workers, reloads that change the sizes of zones,
# binary upgrades, a Redis that is killed, paused and cut off and evicts
# clients, a cluster whose slots move, backends that flap, names that change,
# changes of clients and servers meanwhile, and a second nginx on a file of
# servers.
#
# No client may be admitted above its limit, by one gateway or by two that
# share it (scope=global), be it a rate, a quota, or a budget whose costs are
# known afterwards; no place of a request in flight or in a queue may be lost;
# no session may leave a server that is up; no change that was acknowledged may
# be lost, no request may fail that a nginx without modules would have
# answered, and what is in shared memory has to be sound all the time.
#
# CHAOS_SECONDS (30) says how long, CHAOS_SEED which sequence of events.

use v5.28;
use warnings;

use Digest::MD5 qw(md5_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Cluster;
use Gateway::Dns;
use Gateway::Process qw(children fork_child spawn wait_exit);
use Gateway::Relay;
use JSON::PP;
use List::Util qw(max min shuffle sum);
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
    RATE  => 20,         # tokens a second of each client that is counted
    HOT   => 4,          # so many of these
    CONNS => 6,          # connections of the load on each gateway
    IDS   => 32,         # clients that are changed all the time
    DEAR  => 10,         # the most that a request costs, as it turns out
    QUOTA => 150,        # requests a month, of one client of each gateway
    PLACES => 3,         # requests in flight, likewise
    SESSIONS => 16,      # of each gateway
};

my $seconds = $ENV{CHAOS_SECONDS} // 30;
my $seed    = $ENV{CHAOS_SEED} // time() ^ $$;
my $stop    = temp_dir() . '/stop';

srand($seed);

# the module that looks at zones is built with the one of t/common.t

my $probe = $ENV{TEST_PROBE_MODULE}
            // "$FindBin::Bin/../build/release-probe/ngx_http_probe_module.so";
my $zones = $probe =~ s/probe_module\.so$/zones_module.so/r;

if (!-e $zones) {
    system('make', '-s', '-C', "$FindBin::Bin/..", 'probe') == 0
        or die "make probe failed\n";
}

# "steady" is never touched: no request has a reason to fail.  Each says what
# a request has cost.

my $cost = sub { return { headers => { 'X-Cost' => 1 + int rand DEAR } } };
my %backend = map { $_ => backend(name => $_, answer => $cost) }
              qw(steady a b c extra);

# the name has the steady one's address all the time, and more at times

my $other = backend(name => 'other', host => '127.0.0.2',
                    port => $backend{steady}->port);
my %names = (one => { A => ['127.0.0.1'], ttl => 1 },
             two => { A => ['127.0.0.1', '127.0.0.2'], ttl => 1 },
             error => { rcode => 2 }, silence => { silent => 1 });
my $dns = Gateway::Dns->start('steady.test' => $names{one});

my $redis = redis('maxmemory-policy' => 'allkeys-lru');
my $relay = Gateway::Relay->start($redis->port);

# Two share Redis and a zone, of which one may lose its way to it.  Clients
# have a zone for each gateway: when Redis has lost its data, it gets what one
# node knows, and so nothing that another one was told a moment ago.

my @cluster = cluster();
my @gateways = (
    start('first', 'round_robin', 'pair',
          $relay->url . ' timeout=1s interval=500ms'),
    start('second', 'p2c', 'pair',
          $redis->url . ' timeout=1s interval=500ms'),
    start('third', 'least_conn', '', 'sqlite:%%DIR%%/store/c.db'),
    start('fourth', 'least_time', 'cluster',
          cluster_url(@cluster) . ' shards=4 timeout=1s interval=500ms'),
);

# One that was started on the file of another: it changes nothing there.

my $intruder = gateway(<<"END", log_level => 'notice');
    upstream u {
        lb round_robin;
        lb_state @{[ $gateways[2]{g}->dir ]}/servers.json;
        @{[ $backend{steady}->server ]}
    }
    server { listen 127.0.0.1:%%PORT%%; location /upstreams { lb_api write=on; } }
END


sub start
{
    my ($name, $method, $shares, $store) = @_;

    $store .= " node=$name" if $shares;
    my $zone = !$shares ? ''
               : "tbucket_zone \$arg_key zone=all:1m capacity=@{[ RATE ]}
                               rate=@{[ RATE ]}r/s scope=global;";
    my $limit = $shares ? 'tbucket zone=all;' : '';
    my $servers = join "\n", map { $backend{$_}->server } qw(steady a b c);

    my $text = sub {
        my ($refill, $size) = @_;

        return <<"END";
            tbucket_zone \$http_x_api_key zone=$name:@{[ 2 * $size ]}m
                         capacity=@{[ RATE ]} rate=@{[ RATE ]}r/s;
            $zone
            tbucket_zone \$http_x_api_key zone=debts:128k
                         capacity=@{[ RATE ]} rate=@{[ RATE ]}r/s;
            tbucket_zone \$http_x_api_key zone=months:128k
                         quota=@{[ QUOTA ]}/month;
            tbucket_zone \$http_x_api_key zone=places:128k
                         inflight=@{[ PLACES ]};
            tbucket_store $store;
            tbucket_refill $refill;
            resolver 127.0.0.1:@{[ $dns->port ]} ipv6=off;
            resolver_timeout 1s;
            access_log off;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 20s;
            upstream u {
                lb $method;
                lb_zone @{[ 512 * $size ]}k;
                lb_state %%DIR%%/servers.json;
                lb_health_check interval=500ms timeout=5s rise=1 fall=2;
                $servers
            }
            upstream sticky {
                lb round_robin;
                lb_sticky cookie srv;
                @{[ $backend{steady}->server('max_fails=0') ]}
                @{[ $backend{a}->server ]}
                @{[ $backend{b}->server ]}
            }
            upstream narrow {
                lb round_robin;
                @{[ $backend{steady}->server('max_fails=0 max_conns=1') ]}
                @{[ $backend{c}->server('max_conns=1') ]}
            }
            upstream named {
                lb least_conn;
                lb_resolve steady.test:@{[ $backend{steady}->port ]};
                lb_state %%DIR%%/named.json;
            }
            server {
                listen 127.0.0.1:%%PORT%% backlog=1024;
                tbucket_log_level info;
                location / { tbucket zone=$name; proxy_pass http://u; }
                location /all { $limit proxy_pass http://u; }
                location /free { proxy_pass http://u; }
                location /debt {
                    tbucket zone=debts settle=\$upstream_http_x_cost;
                    proxy_pass http://u;
                }
                location /month { tbucket zone=months; proxy_pass http://u; }
                location /place { tbucket zone=places; proxy_pass http://u; }
                location /sticky { proxy_pass http://sticky; }
                location /queue {
                    lb_queue narrow size=64 timeout=60s;
                    proxy_pass http://narrow;
                }
                location /named { proxy_pass http://named; }
                location /clients { tbucket_api zone=$name write=on; }
                location /upstreams { lb_api write=on; }
                location /metrics { tbucket_metrics; }
                location /servers { lb_metrics; }
                location /zones { zones_check; }
            }
END
    };

    # what a sanitizer needs has to reach the binary of an upgrade; without
    # one, freed memory is filled with a pattern

    my $env = join "\n", map { "env $_;" } qw(LD_PRELOAD ASAN_OPTIONS
                            LSAN_OPTIONS UBSAN_OPTIONS MALLOC_PERTURB_);
    my $s = {
        name => $name, shares => $shares,
        text => $text, kills => [], lives => [],
        weight => 1, disabled => 0, extra => 0, size => 1, resizes => [],
        g => gateway_unstarted($text->('100ms', 1), workers => 2,
                               env => { MALLOC_PERTURB_ => 165 },
                               log_level => 'notice', main => $env,
                               modules => [Gateway::modules(), $zones]),
    };

    launch($s);

    return $s;
}


# nginx upgrades itself only when its parent has gone, as that of a daemon
# has.  All generations are in one process group.

sub launch
{
    my ($s) = @_;

    my $g = $s->{g};

    unlink($g->dir . '/logs/nginx.pid');

    $s->{group} = spawn($g->dir . '/logs/stderr', '/bin/sh', '-c',
        'pid=$1; shift; "$@" & until [ -s "$pid" ]; do sleep 0.1; done',
        'sh', $g->dir . '/logs/nginx.pid', $g->command);

    wait_for(sub {
        $g->{pid} = $g->master_pid;
        return 0 if !$g->{pid} || !$g->listening || !gone($s->{group});
        my @workers = $g->workers;
        return @workers >= 2;
    }, 60) or die "nginx does not start:\n" . $g->log;
}


sub gone
{
    my ($pid) = @_;

    open(my $in, '<', "/proc/$pid/stat") or return 1;

    return (<$in> // '') !~ /^\d+ \(.*\) [^ZX]/s;
}

END {
    my $status = $?;
    kill('KILL', -$_->{group}) for grep { $_->{group} } @gateways;
    $? = $status;
}


# What runs beside the events, a process each, until there is a file $stop:
# returns what it counted through a file of its own.

sub beside
{
    my ($code) = @_;

    my $out = temp_dir() . '/account';

    my $pid = fork_child(sub {
        my $account = $code->();
        open(my $file, '>', $out) or die "$out: $!\n";
        print $file encode_json($account);
        close($file) or die "$out: $!\n";
    });

    return sub {
        my $status = wait_exit($pid, 120);

        is($status, 0, 'a part of the load ends well') or return {};

        open(my $file, '<', $out) or die "$out: $!\n";
        return decode_json(<$file>);
    };
}


# What is asked for, in turn: a location, and the client by whose name what is
# admitted is counted.  Others are new clients each time.

my @kinds = (
    (map { ['/', "hot$_"] } 0 .. HOT - 1), ['/'],
    ['/all?key=all', 'all'], ['/free'], ['/free'],
    ['/debt', 'debtor'], ['/month', 'monthly'],
    ['/place', 'placed'], ['/place?delay=0.05', 'placed'],
    ['/queue', 'queued'], ['/queue?delay=0.01', 'queued'],
    ['/named', 'named'], ['/sticky', 'session'],
);


# Whatever was no answer is noted, with its time.  A session that has been sent
# to the steady server has no reason to leave it.

sub traffic
{
    my ($port) = @_;

    my (%admitted, @lost, @moved, @cookie, %sent);
    my $steady = md5_hex($backend{steady}->address);
    my ($total, $fresh, $spent) = (0, 0, 0);

    until (-e $stop) {
        load($port, sub { $kinds[$_[0] % @kinds][0] },
            connections => CONNS, seconds => 1, retry => 1, timeout => 60,
            headers => sub {
                my ($i) = @_;
                my ($uri, $client) = @{ $kinds[$i % @kinds] };
                my $session = int rand SESSIONS;

                $sent{$i} = [$session, $cookie[$session] // '']
                    if $uri eq '/sticky';

                return { 'X-Api-Key' => $client // 'new' . $fresh++,
                         $uri eq '/sticky' && $sent{$i}[1] ne ''
                         ? (Cookie => "srv=$sent{$i}[1]") : () };
            },
            each => sub {
                my ($r, $i) = @_;

                my ($uri, $client) = @{ $kinds[$i % @kinds] };
                my $answered = $r->{code} == 200;
                my ($session, $srv) = @{ delete $sent{$i} // [] };

                $total++;
                $admitted{ $client // $uri }++ if $answered;
                $spent += $r->{headers}{'x-cost'} // 1
                    if $answered && $uri eq '/debt';

                if ($answered && defined $session) {
                    push @moved, "$session: to $r->{headers}{'x-backend'}"
                        if $srv eq $steady
                           && $r->{headers}{'x-backend'} ne 'steady';
                    $cookie[$session] = $1
                        if ($r->{headers}{'set-cookie'} // '')
                           =~ /^srv=(\w+)/;
                }

                if (!$answered && $r->{code} != 429) {
                    my $now = time();
                    push @lost, [$now - $r->{time}, $now, $r->{code}, $uri,
                                 $r->{error} // ''];
                }
            });
        %sent = ();
    }

    return { admitted => \%admitted, lost => \@lost, total => $total,
             spent => $spent, moved => \@moved,
             steady => scalar grep { ($_ // '') eq $steady } @cookie };
}


# Changes clients, one after the other.  What may be the outcome is a list of
# limits, "-" for none; a client whose last change is uncertain is left alone.

sub edits
{
    my ($port) = @_;

    my (%may, %current, @wrong);
    my ($acknowledged, $n) = (0, 0);

    until (-e $stop) {
        my $slot = int rand IDS;
        my $id = $current{$slot} //= "edited-$slot-" . $n++;
        my $old = ($may{$id} // ['-'])->[0];
        my ($r, $new);

        if ($old ne '-' && rand() < 0.2) {
            $new = '-';
            $r = request($port, 'DELETE', "/clients/$id", timeout => 60);
        } else {
            my ($capacity, $rate) = (1 + int rand 1000, 1 + int rand 100);
            $new = "$capacity/$rate";
            $r = request($port, 'PUT', "/clients/$id", timeout => 60,
                headers => { 'Content-Type' => 'application/json' },
                body => qq({"capacity":$capacity,"rate_per_sec":$rate}));
        }

        if ($r->{code} =~ /^2/) {
            $may{$id} = [$new];
            $acknowledged++;
        } else {
            $may{$id} = [$old, $new];
            delete $current{$slot};
            push @wrong, "$r->{code} $id: $r->{body}"
                if $r->{code} != 0 && $r->{code} != 503;
        }

        do { sleep(0.03) } while -e "$stop.edits" && !-e $stop;
    }

    return { may => \%may, acknowledged => $acknowledged, wrong => \@wrong };
}


# Clients that go without waiting for an answer, of all that may have one.
# Those that are changed here are in no account, and nothing else is changed.

sub aborts
{
    my ($port) = @_;

    my $limits = '"capacity":5,"rate_per_sec":1';
    my $steady = encode_json({ address => $backend{steady}->address });
    my @what = (
        [PUT => '/clients/gone', "{$limits}"], [DELETE => '/clients/nobody'],
        [POST => '/clients', qq({"client_id":"gone",$limits})],
        [POST => '/clients', '[]'],  [PATCH => '/clients/gone', '{"tokens":1}'],
        [GET => '/clients'],         [GET => '/clients/gone'],
        [GET => '/metrics'],         [GET => '/servers'],
        [GET => '/upstreams'],       [DELETE => '/upstreams/u/servers/999999'],
        [PATCH => '/upstreams/u/servers/999999', '{"weight":1}'],
        [POST => '/upstreams/u/servers', $steady], [GET => '/'],
        (map { [GET => $_] } '/debt?delay=0.1', '/place?delay=0.1',
                             '/queue?delay=0.1', '/sticky', '/named'),
    );
    my $n = 0;

    until (-e $stop) {
        for ([GET => '/all?key=gone' . $n % 99], shuffle(@what)) {
            my ($method, $uri, $body) = (@$_, '');
            my $c = eval { client($port) } // next;

            $c->send("$method $uri HTTP/1.1\r\nHost: a\r\nContent-Length: "
                     . length($body) . "\r\n"
                     . "Content-Type: application/json\r\n\r\n$body");
            $c->reset;
            $n++;
        }

        sleep(0.1);
    }

    return { sent => $n };
}


# The events.

sub kill_worker
{
    my ($s) = @_;

    my @workers = ($s->{g}->workers, $s->{g}->old_workers);
    my $pid = $workers[rand @workers] // return;
    my $before = time();

    kill('KILL', $pid);
    push @{ $s->{kills} }, [$before, time()];
}

sub stop_worker
{
    my ($s) = @_;

    my @workers = $s->{g}->workers;
    my $pid = $workers[rand @workers] // return;

    kill('STOP', $pid);
    sleep(0.2 + rand 1.5);
    kill('CONT', $pid);
}

sub reload
{
    my ($s) = @_;

    my $size = rand() < 0.5 ? $s->{size} : 3 - $s->{size};
    my $text = $s->{text}->(rand() < 0.5 ? '100ms' : '20ms', $size);
    my $begun = time();

    kill_worker($s) if rand() < 0.3;
    ok($s->{g}->reload($text), 'a reload is done');

    # old workers go on with the old zone, as they do after an upgrade

    push @{ $s->{resizes} }, [$begun, time()] if $size != $s->{size};
    $s->{size} = $size;
}

sub upgrade
{
    my ($s) = @_;

    my $g = $s->{g};
    my $old = $g->pid;
    my $begun = time();
    my $new;

    kill('USR2', $old);
    wait_for(sub {
        my $pid = $g->master_pid;
        return 0 if !$pid || $pid == $old;
        my @workers = children($pid);
        $new = $pid if @workers >= 2;
        return $new;
    }, 30);

    ok($new, 'a binary upgrade begins') or return;

    push @{ $s->{lives} }, [$begun];
    kill_worker($s) if rand() < 0.3;
    kill('QUIT', $old);
    ok(wait_for(sub { gone($old) }, 60), 'and the old generation goes');
    $s->{lives}[-2][1] = time();
    $g->{pid} = $new;
}

sub kill_redis
{
    $redis->kill;
    sleep(rand 1.5);
    $redis->start_again;
    seeded();
}

sub seeded
{
    ok(wait_for(sub {
        eval { 2 == $redis->command('EXISTS', map { "tbucket:{$_}:epoch" }
                                              qw(first second)) }
    }, 60), 'an empty Redis gets its clients back');
}

# Redis evicts what is of others, which it can be made to, and the clients of
# a gateway seem to have been among it.  They are not changed meanwhile: until
# all of them are back, Redis says of some that there are none.

sub evict_redis
{
    my $s = $gateways[rand 2];
    my $clients = "tbucket:{$s->{name}}:clients";

    # what they can tell an eviction by is what they know before it

    open(my $file, '>', "$stop.edits") or die "$stop.edits: $!\n";
    close($file);
    ok(put_last($_->{g}), 'Redis is in use') for @gateways[0, 1];
    sleep(1);
    evict($clients);
    unlink("$stop.edits");
}

sub evict
{
    my ($clients) = @_;

    my $info = sub {
        my ($field) = @_;
        return $redis->command('INFO') =~ /^\Q$field\E:(\d+)/m ? $1 : 0;
    };

    my $before = $info->('evicted_keys');

    $redis->command('CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl');
    $redis->command('CONFIG', 'SET', 'maxmemory-samples', 64);
    $redis->command('SET', "other:$_", 'x' x 100_000, 'PX', 300) for 1 .. 10;
    $redis->command('CONFIG', 'SET', 'maxmemory',
                    $info->('used_memory') - 200_000);
    wait_for(sub { $info->('evicted_keys') > $before }, 0.2);
    $redis->command('CONFIG', 'SET', 'maxmemory', 0);
    $redis->command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');

    return if $info->('evicted_keys') == $before;

    my $n = $redis->command('HLEN', $clients);

    $redis->command('DEL', $clients);
    ok(wait_for(sub { $redis->command('HLEN', $clients) >= $n }, 60),
       "evicted clients are given back: $n");
}

sub put_last
{
    my ($g) = @_;

    return wait_for(sub {
        request($g, 'PUT', '/clients/last',
                body => '{"capacity":1,"rate_per_sec":1}',
                headers => { 'Content-Type' => 'application/json' })->{code}
            =~ /^2/
    }, 60);
}

# The slot of one of the fourth gateway's shards goes to another master.

sub move_shard
{
    my $key = '{fourth.' . int(rand 4) . '}';
    my $slot = $cluster[0]->command('CLUSTER', 'KEYSLOT', $key);
    my ($from, $to) = master_of($slot, @cluster);

    move_slot($slot, $from, $to);
}

sub rename_steady
{
    my $now = (sort keys %names)[rand keys %names];

    $dns->set('steady.test' => $names{$now});
}

sub pause_redis
{
    $redis->pause;
    sleep(0.2 + rand 2);
    $redis->resume;
}

sub cut_redis
{
    $relay->pause;
    sleep(0.2 + rand 2);
    $relay->resume;
}

sub flap
{
    my $b = $backend{ (qw(a b c extra))[rand 4] };
    my $how = int rand 4;

    if ($how == 0) {
        $b->kill;
        sleep(rand 1.5);
        $b->start_again;
    } elsif ($how == 1) {
        $b->pause;
        sleep(rand 1);
        $b->resume;
    } else {
        $b->behave(action => $how == 2 ? 'reset' : 'mid-header');
        sleep(rand 1.5);
        $b->behave;
    }
}

# One change of a server, and the account of it: as the answer says, or, if
# that is that the outcome is unknown, as it is afterwards.

sub edit_servers
{
    my ($s) = @_;

    my %known = servers($s->{g});
    my $what = (qw(weight disabled extra))[rand 3];
    my $type = { 'Content-Type' => 'application/json' };
    my $address = $backend{extra}->address;
    my ($r, $new);

    if ($what eq 'extra' && $s->{extra}) {
        $new = 0;
        $r = request($s->{g}, 'DELETE', '/upstreams/u/servers/'
                     . $known{$address}{id}, timeout => 60);
    } elsif ($what eq 'extra') {
        $new = 1;
        $r = request($s->{g}, 'POST', '/upstreams/u/servers',
                     headers => $type, timeout => 60,
                     body => encode_json({ address => $address }));
    } else {
        my $of = $backend{ $what eq 'weight' ? 'a' : 'b' }->address;
        $new = $what eq 'weight' ? 1 + int rand 9 : 1 - $s->{disabled};
        $r = request($s->{g}, 'PATCH', '/upstreams/u/servers/'
                     . $known{$of}{id}, headers => $type, timeout => 60,
                     body => encode_json($what eq 'weight'
                         ? { weight => $new }
                         : { state => $new ? 'disabled' : 'up' }));
    }

    if ($r->{code} =~ /^2/) {
        $s->{$what} = $new;
    } elsif ($r->{code} == 503 || $r->{code} == 0) {
        # the one or the other: what is in force is in the account from now on
        $s->{$what} = present($s)->{$what};
    } else {
        fail("a change of servers, $what to $new: $r->{code} $r->{body}");
    }
}

sub intrude
{
    my %what = (POST => '', DELETE => '/1', PATCH => '/1');

    for my $method (sort keys %what) {
        my $r = request($intruder, $method,
                        "/upstreams/u/servers$what{$method}",
                        headers => { 'Content-Type' => 'application/json' },
                        timeout => 60, body => $method eq 'POST'
                        ? '{"address":"127.0.0.1:1"}' : '{"weight":7}');
        is($r->{code}, 503, "$method on another one's file is refused")
            or diag($r->{body});
    }
}

sub servers
{
    my ($g) = @_;

    my $r;
    wait_for(sub { ($r = get($g, '/upstreams/u'))->{code} == 200 }, 30);

    return map { $_->{address} => $_ } @{ decode_json($r->{body})->{servers} };
}

# The servers as the account has them.

sub present
{
    my ($s) = @_;

    my %now = servers($s->{g});
    my $extra = $now{ $backend{extra}->address };

    # one that is being removed has been, as far as its order goes

    return {
        weight   => $now{ $backend{a}->address }{weight},
        disabled => $now{ $backend{b}->address }{state} eq 'disabled' ? 1 : 0,
        extra    => $extra && $extra->{state} ne 'draining' ? 1 : 0,
    };
}

# The limits of all registered clients.

sub registered
{
    my ($g) = @_;

    my (%all, $cursor);

    do {
        my $r = get($g, '/clients?limit=1000'
                        . (defined $cursor ? "&cursor=$cursor" : ''));
        my $page = eval { decode_json($r->{body}) } // return \%all;
        $all{ $_->{client_id} } = "$_->{capacity}/$_->{rate_per_sec}"
            for @{ $page->{clients} // [] };
        $cursor = $page->{next};
    } while (defined $cursor);

    return \%all;
}

sub missing
{
    my ($g, $may) = @_;

    my $all = registered($g);

    return grep {
        my $is = $all->{$_} // '-';
        !grep { $_ eq $is } @{ $may->{$_} }
    } sort keys %$may;
}

# When nothing is under way all places are free, and no more than these.

sub all_places
{
    my ($g) = @_;

    my $used = sub { get($g, '/metrics')->{body}
                     =~ /^tbucket_inflight\{zone="places"\} (\d+)$/m
                     ? $1 : -1 };
    my $queued = sub { get($g, '/servers')->{body}
                       =~ /^lb_queued\{upstream="narrow"\} (\d+)$/m
                       ? $1 : -1 };

    wait_for(sub { $used->() == 0 && $queued->() == 0 }, 10);
    is($used->(), 0, 'no place is taken by a request that is over');
    is($queued->(), 0, 'and nobody waits in the queue');
    like(get($g, '/servers')->{body},
         qr/^lb_queue_seconds_count\{upstream="narrow"\} [1-9]/m,
         'but some have');

    my %codes;
    load($g, '/place?delay=1', connections => PLACES + 1,
         requests => PLACES + 1, headers => { 'X-Api-Key' => 'placed' },
         each => sub { $codes{ $_[0]{code} }++ });
    is_deeply(\%codes, { 200 => PLACES, 429 => 1 },
              'all places can be had, and no more');
}


# What the checkers say about copies of the zones.

sub unsound
{
    my ($s, $more) = @_;

    my @tables = map { "tbucket=$_" } $s->{name}, qw(debts months places),
                     $s->{shares} ? 'all' : ();
    my @rosters = map { "lb=lb:$_" . ($more // '') }
                      qw(u sticky narrow named);

    for my $zone (@tables, @rosters) {
        my $r;
        wait_for(sub { ($r = get($s->{g}, "/zones?$zone"))->{code} == 200 },
                 30);
        return "$zone: $r->{code} $r->{body}" if $r->{body} ne 'sound';
    }

    return '';
}


my @events = (
    [kill_worker  => \&kill_worker], [kill_worker => \&kill_worker],
    [stop_worker  => \&stop_worker], [reload => \&reload],
    [upgrade      => \&upgrade], [kill_redis => \&kill_redis],
    [pause_redis  => \&pause_redis], [cut_redis => \&cut_redis],
    [evict_redis  => \&evict_redis], [intrude => \&intrude],
    [flap         => \&flap], [flap => \&flap],
    [edit_servers => \&edit_servers], [edit_servers => \&edit_servers],
    [move_shard   => \&move_shard], [rename_steady => \&rename_steady],
);

for my $s (@gateways) {
    $s->{lives} = [[time()]];
    $s->{traffic} = beside(sub { srand(); traffic($s->{g}->port) });
    $s->{edits}   = beside(sub { srand(); edits($s->{g}->port) });
    $s->{aborts}  = beside(sub { srand(); aborts($s->{g}->port) });
}

my $end = time() + $seconds;
my (%done, @unsound, @turn);

while (time() < $end) {

    # all of them, in an order that is another one each time

    @turn = shuffle(@events) if !@turn;

    my ($name, $event) = @{ shift @turn };

    $event->($gateways[rand @gateways]);
    $done{$name}++;
    push @unsound, map { "after $name: $_" } grep { $_ ne '' }
                   map { unsound($_) } @gateways;
}

open(my $file, '>', $stop) or die "$stop: $!\n";
close($file);

note(join ', ', "seed $seed", map { "$_ $done{$_}" } sort keys %done);
is(join("\n", @unsound), '', 'shared memory is sound all the time');

for my $s (@gateways) {
    $s->{traffic} = $s->{traffic}->();
    $s->{edits} = $s->{edits}->();
    $s->{aborts} = $s->{aborts}->();
    $s->{lives}[-1][1] = time();
}

# what they admit together; a generation has no limit of its own here

for my $group (qw(pair cluster)) {
    my @sharing = grep { $_->{shares} eq $group } @gateways;
    my $together = sum(map { $_->{traffic}{admitted}{all} // 0 } @sharing);
    my $most = RATE * (1 + max(map { $_->{lives}[-1][1] } @sharing)
                       - min(map { $_->{lives}[0][0] } @sharing)) + 1;

    cmp_ok($together, '<=', $most,
           "$group together: $together of no more than $most");
    cmp_ok($together, '>', 0.1 * RATE * $seconds, 'and not too few');
}

# the store may have lost what a node saved of its buckets, so a generation
# has a month of its own

my $months = sub {
    my ($s) = @_;
    my ($first, $last) = map { (gmtime($_))[4] } $s->{lives}[0][0], time();
    return @{ $s->{lives} } + ($first != $last);
};

for my $s (@gateways) {
    my $g = $s->{g};
    my $traffic = $s->{traffic};
    my $edits = $s->{edits};

    my $limit = 0;

    for my $life (@{ $s->{lives} }, @{ $s->{resizes} }) {
        $limit += RATE * (1 + $life->[1] - $life->[0]) + 1;
    }

    for my $client (grep { /^hot/ } sort keys %{ $traffic->{admitted} }) {
        my $n = $traffic->{admitted}{$client};
        cmp_ok($n, '<=', $limit, "$client: $n of no more than $limit");
        cmp_ok($n, '>', 0.1 * RATE * $seconds, "$client: not too few");
    }

    is(scalar(grep { /^hot/ } keys %{ $traffic->{admitted} }), HOT,
       'all of them were admitted');

    # a request is charged what it has cost when that is known, so the last
    # ones go beyond the budget; those of a killed worker stay at their price

    my $dear = DEAR * CONNS * @{ $s->{kills} };
    for my $life (@{ $s->{lives} }) {
        $dear += RATE * (1 + $life->[1] - $life->[0]) + 1 + DEAR * CONNS;
    }
    cmp_ok($traffic->{spent}, '<=', $dear,
           "spent: $traffic->{spent} of no more than $dear");
    cmp_ok($traffic->{spent}, '>', 0.1 * RATE * $seconds, 'and not too little');

    my $month = $traffic->{admitted}{monthly} // 0;
    my $quota = QUOTA * $months->($s);
    cmp_ok($month, '<=', $quota, "a quota: $month of no more than $quota");
    cmp_ok($month, '>=', QUOTA / 2, 'and most of it, or all');

    is(join(', ', @{ $traffic->{moved} }), '', 'no session has moved');
    cmp_ok($traffic->{steady}, '>', 0, 'and there were some that could');

    cmp_ok($traffic->{admitted}{$_} // 0, '>', $seconds, "$_: not too few")
        for qw(placed queued named);

    # a killed worker takes what it had under way with it, with modules or not

    my @lost = grep {
        my ($from, $to) = @$_;
        !grep { $_->[0] <= $to && $_->[1] >= $from } @{ $s->{kills} };
    } @{ $traffic->{lost} };

    is(scalar @lost, 0, "no request of $traffic->{total} is lost but those "
                        . 'that a killed worker had')
        or diag(explain([splice @lost, 0, 10]));
    cmp_ok(scalar @{ $traffic->{lost} }, '<=', CONNS * @{ $s->{kills} },
           'and of these, no more than there are connections');

    is(join("\n", @{ $edits->{wrong} }), '',
       'changes are done, or refused for the store alone');
    cmp_ok($edits->{acknowledged}, '>', $seconds,
           "clients were changed: $edits->{acknowledged}");

    cmp_ok($s->{aborts}{sent}, '>', $seconds,
           "clients have gone: $s->{aborts}{sent}");

    # the store is there again, and with it everything that was acknowledged

    ok(put_last($g), 'the store is there again');

    wait_for(sub { !missing($g, $edits->{may}) }, 30);
    is(join(' ', missing($g, $edits->{may})), '',
       'every change of clients that was acknowledged is there');

    my %account = map { $_ => $s->{$_} } qw(weight disabled extra);
    is_deeply(present($s), \%account, 'and every change of servers');

    wait_for(sub { !unsound($s, '&quiet=1') }, 30);
    is(unsound($s, '&quiet=1'), '', 'no request is counted that is not there');
    all_places($g);

    my $log = $g->log;
    my @bad = grep { /\[(?:emerg|alert)\]/
                     && !/exited on signal 9\b|was locked by/ }
              split /^/, $log;
    is(join('', splice @bad, 0, 10), '', 'nobody died of itself');
    unlike($log, qr/no live servers/, 'there was a server all the time');

    # and after a power cut, as far as there is one without

    $intruder->quit if !$s->{shares};
    kill('KILL', -$s->{group});
    wait_for(sub { gone($g->pid) }, 10);
    launch($s);

    wait_for(sub { !missing($g, $edits->{may}) }, 30);
    is(join(' ', missing($g, $edits->{may})), '',
       'clients are there after a new start');
    is_deeply(present($s), \%account, 'and servers');
}

done_testing();
