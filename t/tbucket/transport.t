# The ways to a Redis: TLS with all that may be wrong about it, Sentinels
# with a password and names, a cluster whose slots and masters move.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use Gateway::Certs;
use Gateway::Cluster;
use Gateway::Dns;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);


my @forked;
my $owner = $$;

END { if ($$ == $owner) { local $?; kill('KILL', @forked) if @forked } }


sub text
{
    my ($url, %o) = @_;

    my $timeout = $o{timeout} // '1s';
    my $store = $o{store} // '';
    my $zones = $o{zones}
        // "tbucket_zone \$http_x_api_key zone=clients:1m rate=1r/s;";

    return <<"END";
        $zones
        tbucket_store $url interval=500ms timeout=$timeout $store;
        server {
            listen 127.0.0.1:%%PORT%%;
            location /clients { tbucket_api zone=clients write=on; }
            location /metrics { tbucket_metrics; }
            location / { tbucket zone=clients; }
            @{[ $o{server} // '' ]}
        }
END
}


sub start { return gateway(text(@_), workers => 2) }

sub key { return "tbucket:{clients}:$_[0]" }


# A Redis that speaks TLS besides, with a certificate of that CA.

sub tls_redis
{
    my ($ca, $name, $san, %option) = @_;

    my %issue = map { $_ => delete $option{$_} } grep { exists $option{$_} }
                qw(expired);
    my ($cert, $key) = $ca->issue($name, $san, %issue);
    my $port = free_port();
    my $r = redis('tls-port' => $port, 'tls-cert-file' => $cert,
                  'tls-key-file' => $key, 'tls-ca-cert-file' => $ca->file,
                  'tls-auth-clients' => 'no', %option);

    return ($r, $port);
}


# The reason why it cannot be reached, as the log has it.

sub reason
{
    my ($url, %o) = @_;

    my $g = start($url, %o);
    my ($line) = $g->wait_log(qr/is unreachable: .*/) =~
        /is unreachable: ([^\n]*)/;
    is(put($g, 'a', 1, 1), 503, 'a write is refused');
    sleep(1);
    my $n = () = $g->log =~ /\[error\].* is unreachable/g;
    is($n, 1, 'with one line in the log') or diag($g->log);
    is($g->quit, 0, 'a graceful stop ends');

    return $line;
}


subtest 'TLS' => sub {
    my $ca = Gateway::Certs->new;
    my ($r, $port) = tls_redis($ca, 'redis', 'IP:127.0.0.1,DNS:redis.test');
    my $tls = "tls_ca=" . $ca->file;

    for my $url ("rediss://127.0.0.1:$port $tls",
                 "rediss://localhost:$port/2 $tls tls_name=redis.test",
                 "rediss://localhost:$port tls_verify=off")
    {
        my $g = start($url);
        ok(wait_for(sub { put($g, 'a', 5, 1) =~ /^20/ }), "a write: $url");
        $r->command('SELECT', $url =~ m{/2 } ? 2 : 0);
        ok($r->command('HGET', key('clients'), 'a'), 'is there');
        ok(wait_for(sub { $r->command('HSET', key('clients'), 'b',
                              '{"capacity":3,"rate_per_sec":0.001}');
                          client_of($g, 'b') }), 'one by hand is here');
        $g->stop;
        $g->start;
        ok(client_of($g, 'b'), 'as it is after a start');
        is(() = $g->log =~ /\[warn\].*tls_verify=off/g,
           $url =~ /off/ ? 2 : 0, 'what is not verified is told');
        is($g->quit, 0, 'a graceful stop ends');
        unlike($g->log, qr/alert|exited on signal/, 'cleanly');
    }
};

subtest 'what is wrong about TLS is told' => sub {
    my $ca = Gateway::Certs->new;
    my $tls = "tls_ca=" . $ca->file;

    my ($r, $port) = tls_redis($ca, 'redis', 'DNS:redis.test');
    like(reason("rediss://127.0.0.1:$port $tls"),
         qr/certificate is for another name than/, 'an address');
    like(reason("rediss://127.0.0.1:$port $tls tls_name=other.test"),
         qr/certificate is for another name than "other.test"/, 'a name');
    like(reason("rediss://127.0.0.1:$port tls_name=redis.test"),
         qr/issuer of the server's certificate is unknown/, 'an issuer');
    like(reason("redis://127.0.0.1:$port"),
         qr/closed the connection|reset|makes no sense|Protocol error/i,
         'a client without');
    like(reason('rediss://127.0.0.1:' . $r->port . " $tls"),
         qr/TLS handshake (?:failed|timed out)/, 'a server without');

    ($r, $port) = tls_redis($ca, 'redis', 'DNS:redis.test', expired => 1);
    like(reason("rediss://127.0.0.1:$port $tls tls_name=redis.test"),
         qr/certificate has expired/, 'one that has expired');
};

subtest 'client certificates' => sub {
    my $ca = Gateway::Certs->new;
    my ($r, $port) = tls_redis($ca, 'redis', 'IP:127.0.0.1',
                               'tls-auth-clients' => 'yes');
    my ($cert, $key) = $ca->issue('gateway', 'DNS:gateway');
    my $url = "rediss://127.0.0.1:$port tls_ca=" . $ca->file;

    like(reason($url), qr/TLS.*certificate required|closed|reset/i,
         'are missed');

    my $g = start("$url tls_cert=$cert tls_key=$key");
    ok(wait_for(sub { put($g, 'a', 5, 1) =~ /^20/ }), 'are shown');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'a server that hangs in the handshake holds nobody up' => sub {
    my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64);
    my $url = 'rediss://127.0.0.1:' . $s->sockport . ' tls_verify=off';
    my $begin = time;
    my $g = start($url, timeout => '500ms');
    cmp_ok(time - $begin, '<', 5, 'nginx starts');
    ok($g->wait_log(qr/is unreachable: TLS handshake timed out/), 'told');
    my $was = time;
    is(put($g, 'a', 1, 1), 503, 'a write is refused');
    cmp_ok(time - $was, '<', 1, 'at once');
    is($g->quit, 0, 'a graceful stop ends');
};

# A TLS server that says what a Perl program prints.

sub tls_saying
{
    my ($program) = @_;

    state $ca = Gateway::Certs->new;
    my ($cert, $key) = $ca->issue('redis', 'IP:127.0.0.1');
    my $port = free_port();

    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        exec('sh', '-c', 'perl -e "$1" | openssl s_server -quiet '
             . '-accept "127.0.0.1:$2" -cert "$3" -key "$4" >/dev/null 2>&1',
             'sh', $program, $port, $cert, $key);
    }
    POSIX::setpgid($pid, $pid);
    push @forked, -$pid;
    wait_for(sub { IO::Socket::INET->new("127.0.0.1:$port") });

    return $port;
}

# kB of memory, and descriptors, of all workers.

sub rss
{
    my $sum = 0;
    for my $pid ($_[0]->workers) {
        open(my $in, '<', "/proc/$pid/status") or next;
        $sum += $1 if do { local $/; <$in> } =~ /VmRSS:\s+(\d+)/;
    }
    return $sum;
}

sub fds { my $n = 0; $n += () = glob "/proc/$_/fd/*" for $_[0]->workers;
          return $n }

subtest 'replies over TLS that do not end' => sub {
    my %program = (
        'a line without end' => 'print "+"; print "x" x 65536 while 1',
        'a byte now and then' =>
            '$| = 1; print "+"; print("x"), select undef, undef, undef, 0.1 '
            . 'while 1',
        'arrays without end' => 'print "*1\r\n" x 8192 while 1',
        'a string of which half comes' =>
            '$| = 1; print "\$1000\r\n", "x" x 500; sleep 60',
    );

    for my $what (sort keys %program) {
        my $port = tls_saying($program{$what});
        my $begin = time;
        my $g = start("rediss://127.0.0.1:$port tls_verify=off",
                      timeout => '500ms');
        cmp_ok(time - $begin, '<', 5, "$what: nginx starts");
        $g->wait_log(qr/is unreachable/);
        is(put($g, 'a', 1, 1), 503, 'a write is refused');
        sleep(2);
        is(put($g, 'a', 1, 1), 503, 'and another');
        cmp_ok(rss($g), '<', 100_000, 'little memory is used');
        $begin = time;
        is($g->quit, 0, 'a graceful stop ends');
        cmp_ok(time - $begin, '<', 8, 'soon');
        unlike($g->log, qr/alert|exited on signal/, 'cleanly');
    }
};

subtest 'a thousand connections leave nothing behind' => sub {
    my $ca = Gateway::Certs->new;
    my ($r, $port) = tls_redis($ca, 'redis', 'IP:127.0.0.1');
    my $zones = join '', map { "tbucket_zone \$http_x_api_key zone=z$_:64k "
                               . "rate=1r/s;\n" } 1 .. 40;
    my $g = start("rediss://127.0.0.1:$port tls_ca=" . $ca->file,
                  zones => "$zones tbucket_zone \$http_x_api_key "
                           . 'zone=clients:1m rate=1r/s;');
    my $made = sub { $r->command('INFO', 'stats')
                     =~ /total_connections_received:(\d+)/ ? $1 : die };
    my $until = sub {
        my ($n) = @_;
        wait_for(sub {
            $r->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
            return $made->() >= $n;
        }, 90);
        wait_for(sub { put($g, 'a', 1, 1) =~ /^20/ });
        sleep(4);       # all are there again
        return (rss($g), fds($g));
    };

    ok(wait_for(sub { put($g, 'a', 5, 1) =~ /^20/ }), 'a write');
    my ($rss, $fds) = $until->($made->() + 200);
    my ($rss2, $fds2) = $until->($made->() + 1000);
    cmp_ok($made->(), '>', 1200, 'connections: ' . $made->());
    cmp_ok($rss2, '<', $rss + 3000, "memory: $rss kB, then $rss2 kB");
    cmp_ok($fds2, '<=', $fds + 2, "descriptors: $fds, then $fds2");
    is($g->quit, 0, 'a graceful stop ends');
    unlike($g->log, qr/alert|exited on signal/, 'cleanly');
};

subtest 'a wrong parameter is refused' => sub {
    for my $case (['redis://h tls_ca=/x', 'need "rediss"'],
                  ['rediss://h tls_cert=/x', 'need each other'],
                  ['rediss://h tls_verify=no', '"tls_verify" must be "on"'],
                  ['rediss://h tls_ca=/nonexistent', 'No such file'],
                  ['redis://h sentinel_user=a', '"sentinel_user" needs'],
                  ['redis://h sentinel_password_file=/dev/null',
                   'needs "redis+sentinel://"'],
                  ['rediss://h tls_ca=', 'the value of "tls_ca" is empty'],
                  ['rediss://h tls_ca=a tls_ca=b', 'duplicate "tls_ca"'],
                  ['redis+cluster://h/1', 'no databases but 0'],
                  ['redis://h tls=on', 'invalid parameter "tls=on"'])
    {
        my ($url, $want) = @$case;
        my ($code, $err) = check(text($url));
        isnt($code, 0, "$url: refused");
        like($err, qr/\[emerg\].*\Q$want\E/, 'with the reason');
    }
};

subtest 'a name that leads nowhere' => sub {
    my $begin = time;
    my $g = start('redis://name.invalid');
    cmp_ok(time - $begin, '<', 8, 'nginx starts');
    like($g->log, qr/host "name.invalid" could not be resolved/,
         'with a line that has the name');
    is(put($g, 'a', 1, 1), 503, 'a write is refused');
    ok($g->reload, 'a reload is done');
    sleep(1);
    is(() = $g->log =~ /\[error\].*name.invalid.*unreachable/g, 1,
       'and no further line') or diag($g->log);
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'a password that is changed needs no reload' => sub {
    my $r = redis(password => 'one');
    my $file = $r->dir . '/password';
    my $write = sub { open(my $out, '>', $file) or die $!;
                      print $out "$_[0]\n"; close($out) };
    $write->('one');
    my $g = start('redis://127.0.0.1:' . $r->port . " password_file=$file");
    is(put($g, 'a', 1, 1), 201, 'a write');

    $r->command('CONFIG', 'SET', 'requirepass', 'two');
    $write->('two');
    $r->command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    ok(wait_for(sub { put($g, 'b', 1, 1) == 201 }), 'another one');
    unlike($g->log, qr/WRONGPASS/, 'with the new password');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'Sentinels have passwords of their own, and announce names' => sub {
    my $r = redis(password => 'data');
    my $s = sentinel(master => $r, name => 'm', password => 'guard',
                     'sentinel resolve-hostnames' => 'yes',
                     'sentinel announce-hostnames' => 'yes');
    my $file = $r->dir . '/guard';
    open(my $out, '>', $file) or die $!;
    print $out "guard\n";
    close($out);

    my $url = "redis+sentinel://:data\@localhost:@{[$s->port]}/m";
    like(reason($url), qr/NOAUTH/, 'without the password');

    my $g = start("$url sentinel_password_file=$file");
    ok(wait_for(sub { put($g, 'a', 1, 1) =~ /^20/ }), 'with it');
    is($g->quit, 0, 'a graceful stop ends');
};


subtest 'a cluster that announces names' => sub {
    for my $name ('redis.test', 'localhost') {
        my $dns = Gateway::Dns->start('redis.test' => { A => ['127.0.0.1'] });
        my @r = cluster('cluster-announce-hostname' => $name,
                        'cluster-preferred-endpoint-type' => 'hostname');
        my $slot = $r[0]->command('CLUSTER', 'KEYSLOT', key('clients'));
        my ($master, $other) = master_of($slot, @r);

        # with a resolver, or by the system; the seed is not who has the slot

        my $resolver = $name eq 'localhost' ? ''
            : 'resolver 127.0.0.1:' . $dns->port . ' ipv6=off; ';
        my $g = start("redis+cluster://$name:" . $other->port,
                      zones => $resolver . 'tbucket_zone $http_x_api_key '
                               . 'zone=clients:1m rate=1r/s;');
        ok(wait_for(sub { put($g, 'a', 5, 1) =~ /^20/ }), "$name: a write");
        ok($master->command('HGET', key('clients'), 'a'), 'is at its master');
        move_slot($slot, $master, $other);
        is(put($g, 'b', 5, 1), 201, 'one to a slot that has moved');
        ok($other->command('HGET', key('clients'), 'b'), 'goes after it');
        ok(wait_for(sub { get($g, '/metrics')->{body}
                          =~ /^tbucket_store_up 1$/m }), 'the store is up');
        is($g->quit, 0, 'a graceful stop ends');
        unlike($g->log, qr/alert|exited on signal/, 'cleanly');
    }
};

subtest 'a cluster, whose slots and masters move' => sub {
    my @r = cluster();
    my $slot = $r[0]->command('CLUSTER', 'KEYSLOT', key('clients'));
    my ($master, @other) = master_of($slot, @r);
    my $url = 'redis+cluster://' . join(',', map { '127.0.0.1:' . $_->port }
                                        @other);

    # the seeds are others, so that everything has to be found

    my $g = start($url);
    is(put($g, 'a', 5, 0.001), 201, 'a write');
    ok($master->command('HGET', key('clients'), 'a'), 'is at its master');
    is(admitted($g, 'a', 10), 5, 'limits');

    my $h = start($url, store => 'node=h');
    ok(client_of($h, 'a'), 'another gateway has read it at its start');
    is(put($g, 'b', 6, 1), 201, 'a further write');
    ok(wait_for(sub { client_of($h, 'b') }), 'comes through the stream');

    # a slot that moves, there and back, while the API writes

    my $writer = fork() // die "fork: $!\n";
    if ($writer == 0) {
        my $bad = 0;
        for my $n (1 .. 400) {
            my $code = put($g, "w$n", 1, 1);
            if ($code != 201) { $bad++; warn "w$n: $code\n" }
            sleep(0.01);
        }
        POSIX::_exit($bad > 200 ? 200 : $bad);
    }

    for my $round (1 .. 3) {
        sleep(0.3);
        my ($from, $to) = master_of($slot, @r);
        move_slot($slot, $from, $to);
    }
    waitpid($writer, 0);
    is($? >> 8, 0, 'no write is lost to a slot that moves');
    ok(wait_for(sub { keys %{ registered($h) } == 402 }),
       'all are at the other gateway');
    unlike($g->log . $h->log, qr/\[error\].*(?:redis|tbucket_store)/, 'nobody complains')
        or diag($g->log);

    # a master that dies

    ($master) = master_of($slot, @r);
    $master->kill;
    my $died = time;
    ok(wait_for(sub { put($g, 'after', 9, 1) == 201 }, 30),
       sprintf('a new master takes writes after %.1f s', time - $died));
    ok(wait_for(sub { client_of($h, 'after') }), 'and tells the others');
    cmp_ok(scalar(keys %{ registered($g) }), '==', 403, 'none is lost');
    ok(wait_for(sub { put($g, "again$_", 9, 1) == 201 }), 'writes go on')
        for 1 .. 5;

    is($_->quit, 0, 'a graceful stop ends') for $g, $h;
    unlike($g->log . $h->log, qr/alert|exited on signal/, 'cleanly');
};

done_testing();
