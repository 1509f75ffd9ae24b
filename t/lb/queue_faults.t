# A full queue while workers are killed, servers fail, and nginx is reloaded and
# upgraded: what the servers see of it, for QUEUE_FAULTS_SECONDS= (10).

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Process qw(children fork_child time_factor);
use IO::Poll qw(POLLIN POLLHUP POLLERR);
use IO::Socket::INET;
use JSON::PP qw(decode_json encode_json);
use List::Util qw(max sum0);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
    SERVERS => 3,
    PLACES  => 4,           # of each server
    WORK    => 0.02,        # seconds of a request
    FREE    => 0.01,        # for which a place may be free
    TICK    => 0.003,       # between looks at how late the machine is
};

my $seconds = $ENV{QUEUE_FAULTS_SECONDS} // 10;
my $dir = temp_dir();
my @ports = map { free_port() } 1 .. SERVERS;
my (%out, @lives, $g);


sub slurp { open(my $in, '<', $_[0]) or return ''; local $/; return <$in> // '' }
sub touch { open(my $out, '>', "$dir/$_[0]") or die "$_[0]: $!\n" }


# All servers are one process, so that what they see is in one order.  It
# writes "TIME PORT BUSY" when the number of requests changes that a server
# works at.  Connections that have gone are seen to before any new request.

sub servers
{
    my $poll = IO::Poll->new;
    my (%listen, %conns, %busy);

    open(my $log, '>', "$dir/busy") or die "busy: $!\n";
    $log->autoflush(1);

    for my $port (@ports) {
        my $l = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024,
                                      LocalPort => $port, ReuseAddr => 1)
            or die "listen: $!\n";
        $l->blocking(0);
        $listen{$l} = $port;
        $poll->mask($l => POLLIN);
    }

    my $count = sub {
        my ($port, $n) = @_;
        $busy{$port} += $n;
        printf $log "%.4f %d %d\n", time(), $port, $busy{$port};
    };

    while (!-e "$dir/stop") {
        my ($first) = sort { $a <=> $b }
                      map { $_->{due} // () } values %conns;
        my $wait = defined $first ? $first - time() : 0.1;
        my @ready;

        $poll->poll($wait < 0 ? 0 : $wait);

        for my $sock ($poll->handles(POLLIN | POLLHUP | POLLERR)) {
            if (my $port = $listen{$sock}) {
                while (my $new = $sock->accept) {
                    $new->blocking(0);
                    $conns{$new} = { sock => $new, port => $port, in => '' };
                    $poll->mask($new => POLLIN);
                }
                next;
            }

            my $c = $conns{$sock};
            my $n;

            do {
                $n = sysread($sock, $c->{in}, 65536, length $c->{in});
            } while ($n);

            if (!defined $n && $!{EAGAIN}) {
                push @ready, $c;
                next;
            }

            $poll->remove($sock);
            $count->($c->{port}, -1) if defined $c->{due};
            delete $conns{$sock};
        }

        for my $c (@ready) {
            next if defined $c->{due}
                    || $c->{in} !~ s/^\S+ (\S+).*?\r\n\r\n//s;

            if ($1 eq '/check') {
                my $status = -e "$dir/ill.$c->{port}" ? 500 : 200;
                syswrite($c->{sock}, "HTTP/1.1 $status x\r\n"
                                     . "Content-Length: 0\r\n\r\n");
                next;
            }

            $c->{due} = time() + WORK;
            $count->($c->{port}, 1);
        }

        my $now = time();

        for my $c (grep { defined $_->{due} && $_->{due} <= $now }
                   values %conns)
        {
            delete $c->{due};
            $count->($c->{port}, -1);
            syswrite($c->{sock}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                 . "\r\nok");
        }
    }
}


# How late the machine is: "TIME SECONDS", all the time until then for which
# workers and servers had something to do and no processor, or this process.

sub lags
{
    my ($servers) = @_;
    my $logs = $g->dir . '/logs';
    my (%waited, $last);
    my $late = 0;

    open(my $log, '>', "$dir/lag") or die "lag: $!\n";
    $log->autoflush(1);

    while (!-e "$dir/stop") {
        my @masters = map { slurp($_) =~ /^(\d+)$/m ? $1 : () }
                      "$logs/nginx.pid", "$logs/nginx.pid.oldbin";

        for my $pid ($servers, $$, @masters, map { children($_) } @masters) {
            my (undef, $ns) = split ' ', slurp("/proc/$pid/schedstat");
            $late += max(0, ($ns // 0) - ($waited{$pid} // 0)) / 1e9;
            $waited{$pid} = $ns // 0;
        }

        my $now = time();
        $late += $now - $last if defined $last;
        printf $log "%.4f %.6f\n", $now, $late;
        sleep(TICK);
        $last = $now + TICK;
    }
}


# Clients that ask all the time, many more than there are places.

sub clients
{
    my $until = time() + $seconds;
    my $l = load($g, sub { '/?p=' . $_[0] % 10 }, connections => 64,
                 seconds => $seconds, retry => 1);

    open(my $out, '>', "$dir/codes.new") or die "codes: $!\n";
    print $out encode_json({ until => $until, codes => $l->{codes} });
    close($out);
    rename("$dir/codes.new", "$dir/codes");
}


my $lines = join ' ', map { "server 127.0.0.1:$_ max_fails=0 max_conns="
                            . PLACES . ';' } @ports;

# what a sanitizer needs has to reach the binary of an upgrade

my $env = join("\n", map { "env $_;" } qw(LD_PRELOAD ASAN_OPTIONS
                                          LSAN_OPTIONS UBSAN_OPTIONS));
$g = gateway_unstarted(<<"END", workers => 2, main => $env);
upstream u {
    lb least_conn;
    lb_health_check interval=50ms timeout=10s rise=1 fall=1 uri=/check;
    $lines
}
server {
    listen 127.0.0.1:%%PORT%%;
    location /metrics { lb_metrics; }
    location /upstreams { lb_api write=on; }
    location / { lb_queue u size=1000 timeout=60s priority=\$arg_p;
                 proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_pass http://u; }
}
END

my %masters;


# nginx upgrades itself as a daemon only, whose master is no child of ours

sub follow
{
    my ($old) = @_;

    my $pid;

    wait_for(sub {
        $pid = slurp($g->dir . '/logs/nginx.pid') =~ /^(\d+)$/m ? $1 : $old;
        my @workers = children($pid);
        return $pid != $old && @workers >= 2;
    }) or return undef;

    $masters{$pid} = 1;

    return $pid;
}

END { kill('KILL', children($_), $_) for keys %masters }

my $conf = slurp($g->dir . '/nginx.conf') =~ s/daemon off;/daemon on;/r;
open(my $file, '>', $g->dir . '/nginx.conf') or die "nginx.conf: $!\n";
print $file $conf;
close($file);


sub shown
{
    return eval { decode_json(get($g, '/upstreams/u')->{body}) } // {};
}

my %ids;


sub is_now
{
    my ($port, $state) = @_;

    return wait_for(sub {
        return grep { $_->{id} == $ids{$port} && $_->{state} eq $state }
               @{ shown()->{servers} // [] };
    });
}


# a change that a reload refuses is made again

sub change
{
    my ($port, $state) = @_;

    return wait_for(sub {
        return request($g, 'PATCH', "/upstreams/u/servers/$ids{$port}",
                       headers => { 'Content-Type' => 'application/json' },
                       body => encode_json({ state => $state }))->{code} == 200;
    });
}


# While these go on the places of a server are not there for sure.

sub drained
{
    my ($port) = @_;

    push @{ $out{$port} }, [time()];
    my $ok = change($port, 'draining');
    sleep(0.1);
    $ok &&= change($port, 'up');
    $out{$port}[-1][1] = time();

    return $ok;
}

sub ill
{
    my ($port) = @_;

    push @{ $out{$port} }, [time()];
    touch("ill.$port");
    my $ok = is_now($port, 'down');
    unlink("$dir/ill.$port");
    $ok &&= is_now($port, 'up');
    $out{$port}[-1][1] = time();

    return $ok;
}

sub killed
{
    my ($n) = @_;

    my $pid = ($g->workers)[$n] // return 1;
    kill('KILL', $pid);

    return wait_for(sub {
        my @workers = $g->workers;
        return @workers == 2 && !grep { $_ == $pid } @workers;
    });
}

# Two generations have places each.

sub upgraded
{
    my ($back) = @_;

    my $old = $g->pid;

    push @lives, [time()];
    kill('USR2', $old);
    my $new = follow($old) or return 0;

    sleep(0.1);
    killed(0) if rand() < 0.5;

    my ($goes, $stays) = $back ? ($new, $old) : ($old, $new);

    $g->{pid} = $stays;
    kill('QUIT', $goes);
    my $ok = wait_for(sub {
        return !kill(0, $goes) || slurp("/proc/$goes/stat") =~ /\) Z/;
    }, 60);
    delete $masters{$goes};
    sleep(2 * WORK);
    $lives[-1][1] = time();

    return $ok;
}


my $servers = fork_child(\&servers);
wait_for(sub { -e "$dir/busy" });
system($g->command) == 0 or die "nginx does not start\n";
$g->{pid} = follow(0) or die "nginx does not come\n";
%ids = map { $_->{address} =~ s/.*://r => $_->{id} }
       @{ shown()->{servers} };

fork_child(sub { lags($servers) });
fork_child(\&clients);

my @events = (
    [ 'a worker is killed', sub { killed(0) } ],
    [ 'a server is drained', sub { drained($ports[0]) } ],
    [ 'a reload', sub { $g->reload } ],
    [ 'checks fail', sub { ill($ports[1]) } ],
    [ 'another worker is killed', sub { killed(1) } ],
    [ 'an upgrade', sub { upgraded(0) } ],
    [ 'a worker is killed in a reload',
      sub { kill('HUP', $g->pid); sleep(rand 0.05); killed(0) } ],
    [ 'an upgrade that is taken back', sub { upgraded(1) } ],
    [ 'checks fail in a drain',
      sub { drained($ports[2]) && ill($ports[2]) } ],
);

my $end = time() + $seconds;
my (%failed, @told, $n);

for ($n = 0; time() < $end; $n++) {
    my ($name, $event) = @{ $events[$n % @events] };
    sleep(0.1 + rand 0.4);
    push @told, [time(), $name];
    $event->() or $failed{$name}++;
}

is_deeply(\%failed, {}, "$n events are over in time");

ok(wait_for(sub { -e "$dir/codes" }, 60), 'so are all requests');

my $load = decode_json(slurp("$dir/codes"));
my $codes = $load->{codes};
my $lost = $codes->{0} // 0;
delete @$codes{0, 200};
is_deeply($codes, {}, 'nobody is refused, and nobody gets 502');
note("$lost requests went with a worker that was killed");

my $idle = sub {
    my $u = shown();
    my $active = sum0(map { $_->{active} } @{ $u->{servers} });
    return $u->{usable} == SERVERS && $active == 0
           && $u->{queue}{waiting} == 0
           && $u->{queue}{limit} == SERVERS * PLACES;
};
ok(wait_for($idle), 'nobody waits, no place is lost')
    or diag(explain(shown()));
touch('stop');


# What the servers have seen.

my @late = map { [split] } split /\n/, slurp("$dir/lag");
my (%busy, %free, %most, @long, $over, $places);
my $longest = 0;

sub within
{
    my ($from, $to, @windows) = @_;

    return grep { $_->[0] <= $to && $_->[1] >= $from } @windows;
}

my $first = 0;

for (split /\n/, slurp("$dir/busy")) {
    my ($at, $port, $now) = split;

    last if $at > $load->{until} - WORK;

    my $before = $busy{$port} // 0;
    $busy{$port} = $now;

    if ($now < $before) {
        push @{ $free{$port} }, $at;
        next;
    }

    $places++;
    my $most = PLACES * (1 + within($at, $at, @lives));
    $over++ if $now > $most;
    $most{ $most / PLACES } = max($now, $most{ $most / PLACES } // 0);

    my $since = shift @{ $free{$port} } // next;

    next if within($since, $at, @lives, @{ $out{$port} // [] });

    $first++ while $first < $#late && $late[$first + 1][0] < $since - WORK;
    my $last = $first;
    $last++ while $last < $#late && $late[$last][0] < $at;
    my $late = $late[$last][1] - $late[$first][1];

    # who is late makes others late, which is not all in what is measured of it

    my $beyond = $at - $since - FREE - 2 * $late;

    next if $beyond <= 0;

    $longest = max($beyond, $longest);
    push @long, sprintf('%d ms, machine late for %d ms, last: %s',
                        1000 * ($at - $since), 1000 * $late,
                        (map { $_->[1] } grep { $_->[0] < $at } @told)[-1]
                        // 'start');
}

cmp_ok($places, '>', 10 * $seconds, 'many requests were served');
is($over // 0, 0, 'max_conns is never exceeded') or diag(explain(\%most));
cmp_ok(@long, '<=', $places / 200,
       'and no place is free for more than 10 ms') or diag(join("\n", @long));
cmp_ok($longest, '<', 0.25, 'nor is a single one for long')
    or diag(join("\n", @long));
note("$n events, $places requests");
unlike($g->log, qr/\[(?:alert|crit)\](?!.*exited on signal 9)/, 'no alerts');

kill('QUIT', $g->pid);
ok(wait_for(sub { my @left = children($g->pid); return !@left; }, 30),
   'nginx exits');
delete $masters{ $g->pid };

done_testing();
