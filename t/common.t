# What src/common does, seen through the probe module: JSON bodies and
# errors, metrics, and the connection to Redis, in good and in bad times.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $top = "$FindBin::Bin/..";
my $probe = $ENV{TEST_PROBE_MODULE};

if (!defined $probe) {
    $probe = "$top/build/release-probe/ngx_http_probe_module.so";
    system('make', '-s', '-C', $top, 'probe') == 0 or die "make probe failed\n";
}

my @json = (headers => { 'Content-Type' => 'application/json' });


sub probe_gateway
{
    my ($redis, %option) = @_;

    return gateway(<<"END", modules => [$probe], %option);
        @{[ $redis ? "redis_probe $redis;" : '' ]}
        server {
            listen 127.0.0.1:%%PORT%%;
            client_max_body_size 8m;
            location /clients { probe_clients; client_body_buffer_size 16k; }
            location /metrics { probe_metrics; }
            location /redis { probe_redis; }
            location /who { return 200 \$pid; }
            location / { return 200 ok; }
        }
END
}


sub redis_says
{
    my ($g, $words) = @_;

    my $r = get($g, "/redis?$words");

    chomp(my $body = $r->{body});

    return $r->{code} == 200 ? $body : "$r->{code} $body";
}


# True as soon as Redis answers.

sub wait_up
{
    my ($g) = @_;

    return wait_for(sub { get($g, '/redis?PING')->{code} == 200 });
}


sub count
{
    my ($text, $re) = @_;

    return scalar(() = $text =~ /$re/g);
}


# The reply of a Redis that may just be changing its role, or undef.

sub ask
{
    my ($redis, @words) = @_;

    return scalar eval { $redis->command(@words) };
}


sub role  { (ask($_[0], 'ROLE') // [''])->[0] }
sub replication { (ask($_[0], 'ROLE') // [])->[3] // '' }


# A server that answers whatever it is sent with what CODE returns.

sub fake_server
{
    my ($code) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 16) or die "listen: $!\n";
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{PIPE} = 'IGNORE';

        while (my $c = $listen->accept) {
            my $child = fork() // last;
            if ($child == 0) {
                while (sysread($c, my $in, 65536)) {
                    last if !defined syswrite($c, $code->($in));
                }
                POSIX::_exit(0);
            }
        }
        POSIX::_exit(0);
    }

    return ($pid, $listen->sockport);
}

require POSIX;


subtest 'bodies and errors are JSON' => sub {
    my $g = probe_gateway();
    my $good = '{"client_id":"a\"b","capacity":100,"rate_per_sec":0.5}';

    my $r = request($g, 'POST', '/clients', body => $good, @json);
    is($r->{code}, 200, 'a good body is read');
    is($r->{headers}{'content-type'}, 'application/json', 'and its answer');
    is($r->{body}, '{"clients":1,"last":{"client_id":"a\"b","capacity":100,'
                   . '"rate_per_sec":0.5,"registered":true}}' . "\n", 'is JSON');

    for my $type ('text/plain', 'application/jsonx', 'application/json+x', '') {
        $r = request($g, 'POST', '/clients', body => $good,
                     headers => { 'Content-Type' => $type });
        is($r->{code}, 415, "415 for a body that is \"$type\"");
    }

    for my $type ('application/json; charset=utf-8', 'APPLICATION/JSON',
                  'application/json ;x=y')
    {
        $r = request($g, 'POST', '/clients', body => $good,
                     headers => { 'Content-Type' => $type });
        is($r->{code}, 200, "200 for one that is \"$type\"");
    }

    $r = request($g, 'PUT', '/clients', body => $good, @json);
    is($r->{code}, 405, 'a method that is not allowed is refused');
    is($r->{headers}{allow}, 'POST', 'with Allow');
    is($r->{body}, '{"code":405,"message":"method PUT is not allowed, '
                   . 'allowed: POST"}' . "\n", 'and a message');

    $r = request($g, 'HEAD', '/clients');
    is($r->{code}, 405, 'HEAD gets the same');
    is($r->{body}, '', 'without a body');

    $r = get($g, '/clients/x%22%ffy');
    is($r->{code}, 404, 'what is below a location is found');
    is($r->{body}, "{\"code\":404,\"message\":\"no \\\"x\\\"\xef\xbf\xbdy\\\""
                   . " here\"}\n", 'and escaped, UTF-8 or not');
    is(get($g, '/clientsx')->{code}, 405, 'a longer name is not below it');

    $r = request($g, 'POST', '/clients', body => '[1]', @json);
    is($r->{body}, qq({"code":400,"message":"[0]: must be a JSON object"}\n),
       'a wrong body is told why');

    $r = request($g, 'POST', '/clients', body => '', @json);
    is($r->{code}, 400, 'an empty body is not JSON');
};

subtest 'bodies come from memory or from a file' => sub {
    my $g = probe_gateway();
    my $n = 20000;
    my $body = '[' . join(',', map {
        qq({"client_id":"user$_","capacity":$_,"rate_per_sec":10})
    } 1 .. $n) . ']';

    for my $send (8 * 1024, 14 * 1024, 1 << 30) {
        my $part = $body;
        my $want = $n;

        if ($send < length $part) {
            $part = substr($part, 0, $send) =~ s/,\{[^{]*$/]/r;
            $want = () = $part =~ /client_id/g;
        }

        my $r = request($g, 'POST', '/clients', body => $part, @json);
        like($r->{body},
             qr/^\{"clients":$want,"last":\{"client_id":"user$want",/,
             length($part) . ' bytes are read to the end');
    }

    like($g->log, qr/buffered to a temporary file/, 'the last from a file');

    my $r = request($g, 'POST', '/clients', body => substr($body, 0, -1),
                    @json);
    is($r->{code}, 400, 'one that lacks the last byte is refused');

    my $c = client($g);
    $c->send("PUT /clients HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    is($c->response->{code}, 405, 'an error need not wait for the body');
    $c->send("12345GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is($c->response->{code}, 200, 'which is discarded');
};

subtest 'metrics are what Prometheus expects' => sub {
    my $g = probe_gateway();
    my $r = get($g, '/metrics?z');

    is($r->{headers}{'content-type'},
       'text/plain; version=0.0.4; charset=utf-8', 'the type is right');
    is($r->{body}, <<'END' =~ s/U/\xef\xbf\xbd/r, 'and the text');
# HELP probe_requests_total Requests seen.
# TYPE probe_requests_total counter
probe_requests_total{zone="z",odd="a\\b\"c\ndU"} 12345678901
# HELP probe_drift_seconds A gauge.
# TYPE probe_drift_seconds gauge
probe_drift_seconds -1.5
# HELP probe_seconds Times.
# TYPE probe_seconds histogram
probe_seconds_bucket{zone="z",le="0.005"} 1
probe_seconds_bucket{zone="z",le="0.01"} 3
probe_seconds_bucket{zone="z",le="2.5"} 6
probe_seconds_bucket{zone="z",le="+Inf"} 10
probe_seconds_count{zone="z"} 10
probe_seconds_sum{zone="z"} 12.345
END

  SKIP: {
        skip 'promtool is not installed', 1
            if system('command -v promtool >/dev/null 2>&1') != 0;
        open(my $tool, '|-', 'promtool check metrics >/dev/null 2>&1');
        print $tool $r->{body};
        ok(close($tool), 'promtool accepts it');
    }
};

subtest 'commands are answered' => sub {
    my $r = redis(password => 'se%cret@1');
    my $file = $r->dir . '/password';

    open(my $out, '>', $file) or die "$file: $!\n";
    print $out "se%cret\@1\n";
    close($out);

    my $port = $r->port;
    my @urls = ("redis://:se%25cret%401\@127.0.0.1:$port/3",
                "redis://default:se%25cret%401\@localhost:$port",
                "redis://127.0.0.1:$port/3 password_file=$file");

    for my $url (@urls) {
        my $g = probe_gateway($url);
        ok(wait_up($g), 'it is reachable as ' . ($url =~ s/:\S+@/:...@/r));
        is(redis_says($g, 'SET+k+v%20w'), '"OK"', 'a command is answered');
        is(redis_says($g, 'GET+k'), '"v w"', 'words are binary');
        is(redis_says($g, 'MGET+k+none'), '["v w",null]', 'as are arrays');
        like(redis_says($g, 'HSET+k+a+b'), qr/WRONGTYPE/, 'errors are given');
        $g->quit;
        unlike($g->log, qr/alert|crit|emerg|cret/,
               'nothing is left open, nor a secret in the log');
    }

    $r->command('SELECT', 3);
    is($r->command('GET', 'k'), 'v w', 'the database is the one of the URL');
    is($r->command('GET', 'left'), 2, 'a worker that leaves has a last word');

    my $u = redis(unix => 1);
    my $g = probe_gateway($u->url . '?db=1');
    ok(wait_up($g), 'a unix socket will do');
};

subtest 'a wrong configuration is refused, without its secrets' => sub {
    for my $case (['redis://:hush@127.0.0.1:0', 'port must be an integer'],
                  ['redis://bob@127.0.0.1', 'there is neither a password'],
                  ['redis://:hush@127.0.0.1 password_file=/x', 'both in'],
                  ['redis://127.0.0.1 password_file=/nonexistent',
                   'No such file'],
                  ['redis://127.0.0.1 password_file=/dev/null', 'one line'],
                  ['redis+sentinel://127.0.0.1', "master's name"])
    {
        my ($url, $want) = @$case;
        my ($code, $err) = check("redis_probe $url;", modules => [$probe]);
        isnt($code, 0, "$want: refused");
        like($err, qr/\[emerg\].*\Q$want\E.* in .*:\d+/, 'with the reason');
        unlike($err, qr/hush/, 'and nothing else');
    }
};

subtest 'a wrong password is one line in the log' => sub {
    my $r = redis(password => 'right');
    my $g = probe_gateway('redis://:wrong@127.0.0.1:' . $r->port
                          . ' timeout=10s');

    like($g->wait_log(qr/is unreachable/), qr/WRONGPASS/, 'with the reason');
    like(redis_says($g, 'PING'), qr/^503 .*WRONGPASS/, 'as commands are told');
};

subtest 'Redis goes and comes back' => sub {
    my $r = redis();
    my $g = probe_gateway($r->url . ' timeout=2s');
    ok(wait_up($g), 'it is up');

    for my $way (qw(kill stop)) {
        $g->mark;
        $r->$way;
        ok($g->wait_log(qr/probe: down/), "$way is noticed");

        my $answer = get($g, '/redis?PING');
        is($answer->{code}, 503, 'a command fails');
        ok($answer->{time} < 1, 'at once');
        wait_for(sub { count($g->log, qr/refused/) });

        $r->start_again;
        ok(wait_up($g), 'it comes back');
        is(count($g->log, qr/is unreachable/), 1, 'one line for the loss');
        is(count($g->log, qr/reachable again/), 1, 'and one for the return');
    }

    $g->mark;
    $r->pause;
    my $answer = get($g, '/redis?INCR+n');
    is($answer->{code}, 504, 'a command that is not answered');
    like($answer->{body}, qr/timed out, the outcome is unknown/, 'says so');
    ok($answer->{time} > 1.7 && $answer->{time} < 10, 'after the timeout');
    is(get($g, '/redis?PING')->{code}, 503, 'the next one fails at once');
    is(get($g, '/')->{code}, 200, 'nginx serves on');
    $r->resume;
    ok(wait_up($g), 'it comes back');
    is(count($g->log, qr/is unreachable/), 1, 'one line for the loss');
    is(count($g->log, qr/reachable again/), 1, 'and one for the return');
};

subtest 'many commands under way are lost and answered' => sub {
    my $r = redis();
    my $g = probe_gateway($r->url . ' timeout=3s');
    ok(wait_up($g), 'it is up');

    my $l = load($g, '/redis?GET+none', connections => 64, requests => 2000);
    is($l->{codes}{200}, 2000, 'all are answered');

    $r->pause;
    $l = load($g, '/redis?GET+none', connections => 64, requests => 64);
    is($l->{codes}{504}, 64, 'all are told that nothing came back');

    $r->resume;
    ok(wait_up($g), 'it comes back');

    $r->pause;
    my @c = map { client($g) } 1 .. 8;
    $_->send("GET /redis?PING HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
    wait_for(sub { 0 }, 0.1);
    @c = ();
    $r->resume;
    ok(wait_up($g), 'clients that went away are no trouble');
};

subtest 'what is no Redis does no harm' => sub {
    my %answer = (
        'nonsense'       => sub { "nonsense\r\n" },
        'an HTTP server' => sub { "HTTP/1.1 400 Bad Request\r\n\r\n" },
        'random bytes'   => sub { join '', map { chr(rand 256) } 1 .. 500 },
        'too many replies' => sub { "+OK\r\n" x 5 },
        'a huge array'   => sub { "*2000000000\r\n" },
        'deep arrays'    => sub { "*1\r\n" x 20 },
        'numbers'        => sub { ":1\r\n" },
        'nulls'          => sub { "\$-1\r\n*-1\r\n" },
        'a long string'  => sub { "\$1000000000\r\n" . 'x' x 1000 },
        'an error'       => sub { "-ERR no\r\n" },
        'a bad length'   => sub { "\$-7\r\n" },
        'silence'        => sub { '' },
    );

    for my $what (sort keys %answer) {
        my ($pid, $port) = fake_server($answer{$what});
        my $g = probe_gateway("redis://127.0.0.1:$port timeout=200ms");

        ok($g->wait_log(qr/is unreachable/), "$what: not reachable");
        wait_for(sub { 0 }, 0.5);
        is(get($g, '/redis?PING')->{code}, 503, 'commands fail');
        is(count($g->log, qr/is unreachable/), 1, 'it is logged once');
        unlike($g->log, qr/exited on signal|alert/, 'no worker dies');

        CORE::kill('KILL', $pid);
        waitpid($pid, 0);
        is($g->quit, 0, 'and the worker exits');
        unlike($g->log, qr/alert|exited on signal/, 'cleanly');
    }
};

subtest 'a Redis that goes mad later does no harm' => sub {
    my ($pid, $port) = fake_server(sub {
        return $_[0] =~ /ROLE/ ? "*1\r\n\$6\r\nmaster\r\n+PONG\r\n"
             : $_[0] =~ /PING/ ? "+PONG\r\n"
             : "+A\r\n+B\r\n*1000000000\r\n";
    });
    my $g = probe_gateway("redis://127.0.0.1:$port timeout=2s");

    ok(wait_up($g), 'it is up');
    is(redis_says($g, 'GET+a'), '"A"', 'what was asked for is given');
    like($g->wait_log(qr/probe: down/), qr/reply to no command/,
         'what was not ends the connection');
    ok(wait_up($g), 'a new one is made');
    unlike($g->log, qr/exited on signal|alert/, 'no worker dies');

    CORE::kill('KILL', $pid);
    waitpid($pid, 0);
};

subtest 'a worker that exits neither waits for nothing nor loses a reply' =>
sub {
    my $r = redis();
    my $g = probe_gateway($r->url . ' timeout=2s', workers => 2);
    ok(wait_up($g), 'it is up');

    ok($g->reload, 'a reload');
    ok(wait_for(sub { !$g->old_workers }), 'ends the old workers');
    ok(wait_for(sub { (ask($r, 'GET', 'left') // 0) == 2 }),
       'both had their last word');

    ok(wait_up($g), 'the new ones are connected');
    $r->pause;
    my $c = client($g);
    $c->send("GET /redis?INCR+n HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(sub { 0 }, 0.2);
    CORE::kill('QUIT', $g->pid);
    wait_for(sub { 0 }, 0.3);
    $r->resume;
    is($c->response->{body}, "1\n", 'what was under way is answered');
    is($g->quit, 0, 'and then all exit');
    unlike($g->log, qr/alert|open socket|exited on signal/, 'cleanly');
};

subtest 'the master is found through Sentinel, and followed' => sub {
    my $master = redis();
    my $replica = redis(replicaof => $master);

    ok(wait_for(sub { replication($replica) eq 'connected' }, 20),
       'the replica follows its master');

    my @s = map { sentinel(master => $master, name => 'm-1') } 1 .. 2;
    my $dead = free_port();

    ok(wait_for(sub {
        @{ $s[1]->command('SENTINEL', 'replicas', 'm-1') } == 1
        && @{ $s[0]->command('SENTINEL', 'replicas', 'm-1') } == 1
        && @{ $s[0]->command('SENTINEL', 'sentinels', 'm-1') } == 1
    }, 30), 'the Sentinels know both');

    my $hosts = join(',', map { "127.0.0.1:$_" } $dead, map { $_->port } @s);
    my $g = probe_gateway("redis+sentinel://$hosts/m-1 timeout=2s");

    ok(wait_up($g), 'a dead Sentinel is passed over');
    is(redis_says($g, 'SET+a+1'), '"OK"', 'the master takes writes');

    $g->mark;
    $master->kill;
    ok($g->wait_log(qr/probe: down/), 'the loss is noticed');
    ok(wait_for(sub { redis_says($g, 'SET+a+2') eq '"OK"' }, 30),
       'the new master takes writes');
    is(ask($replica, 'GET', 'a') // ask($replica, 'GET', 'a'), 2,
       'which is the replica');
    is(count($g->log, qr/is unreachable/), 1, 'one line for the loss');
    is(count($g->log, qr/reachable again/), 1, 'and one for the return');

    $s[0]->kill;
    $g->mark;
    $master->start_again;
    ok(wait_for(sub { role($master) eq 'slave' }, 30),
       'the old master becomes a replica');
    ok(wait_for(sub { replication($master) eq 'connected' }, 30),
       'of the new one');
    is(redis_says($g, 'SET+a+3'), '"OK"', 'nothing changes for us');
    is(count($g->log, qr/is unreachable/), 0, 'nor with a Sentinel less');

    is($g->quit, 0, 'it exits');
    unlike($g->log, qr/alert|exited on signal/, 'cleanly');
};

done_testing();
