# lb_queue: requests beyond max_conns wait for their turn.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Certs;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;


# A gateway before servers that take so long; options: queue (the parameters),
# upstream (more lines), location (more lines), server (parameters).

sub front
{
    my ($backends, %o) = @_;

    my $servers = join ' ', map { $_->server($o{server} // 'max_conns=1') }
                            @$backends;
    my $queue = $o{queue} // 'size=1000 timeout=10s priority=$arg_p';
    my %more = map { $_ => $o{$_} // '' } qw(upstream location http servers);

    return gateway(<<"END", workers => $o{workers} // 1);
log_format queue '\$status \$lb_queue_time \$lb_tries \$upstream_response_time';
access_log %%DIR%%/logs/access.log queue;
$more{http}
upstream u { lb least_conn; $more{upstream} $servers }
server {
    listen 127.0.0.1:%%PORT%%;
    location /metrics { lb_metrics; }
    location /upstreams { lb_api write=on; }
    location / { lb_queue u $queue; proxy_pass http://u; $more{location}
                 add_header X-Queue-Time \$lb_queue_time always;
                 add_header X-Tries \$lb_tries always; }
    $more{servers}
}
END
}


sub metric
{
    my ($g, $name, $labels) = @_;

    $labels //= 'upstream="u"';

    return get($g, '/metrics')->{body} =~ /^\Q$name\E\{\Q$labels\E\} (\S+)$/m
           ? $1 : undef;
}


sub waiting
{
    my ($g, $n) = @_;

    return wait_for(sub { metric($g, 'lb_queued') == $n });
}


# a client that has sent a request and does not read yet

sub asks
{
    my ($g, $uri) = @_;

    my $c = client($g);
    $c->send("GET $uri HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    return $c;
}


sub slow
{
    my ($delay, @names) = @_;

    return map { backend(name => $_, answer => sub { { delay => $delay } }) }
           @names;
}


for my $how (
    [ 'kept connections' => '' ],
    [ 'new connections' => 'lb_keepalive 0;' ],
    [ 'kept connections of nginx' => 'lb_keepalive 0; keepalive 8;' ],
    [ 'unix sockets' => 'lb_keepalive 0;', unix => 1 ],
) {
    my ($name, $keepalive, @unix) = @$how;

    subtest "$name: nobody is refused, and no server gets too many" => sub {
        my @b = map { backend(name => $_, @unix,
                              answer => sub { { delay => 0.005 } }) } qw(a b);
        my $g = front(\@b, workers => 2, server => 'max_conns=3',
                      upstream => $keepalive,
                      location => 'proxy_http_version 1.1;'
                                  . 'proxy_set_header Connection "";');
        my ($most, $waited) = (0, 0);
        my $l = load($g, '/', connections => 60, requests => 1500, each => sub {
            my ($r) = @_;
            my $busy = $r->{headers}{'x-busy'} // 0;
            $most = $busy if $busy > $most;
            $waited += ($r->{headers}{'x-queue-time'} // 0) > 0;
        });

        is_deeply($l->{codes}, { 200 => 1500 }, 'all are answered')
            or diag(explain($l->{codes}));
        is($most, 3, 'no more than max_conns at a time');
        cmp_ok($waited, '>', 1000, 'most have waited');
        is(metric($g, 'lb_queued'), 0, 'nobody is left');
        cmp_ok(metric($g, 'lb_queue_seconds_count'), '>=', $waited,
               'waits are counted');
        is(metric($g, 'lb_shed_total', 'upstream="u",priority="0"'), 0,
           'none is refused');
        unlike($g->log, qr/\[(?:error|alert|crit)\]|timed out/, 'no errors');
        is($g->quit, 0, 'nginx exits');
    };
}


subtest 'over TLS, HTTP/2 of clients, and a body that is sent as it comes' => sub {
    my $ca = Gateway::Certs->new;
    my ($cert, $key) = $ca->issue('a', 'DNS:a');
    my ($b) = slow(0.02, 'a');
    my $tls = sub {
        my ($name, $server, $more) = @_;
        return "upstream $name { lb round_robin; $more
                                 server $server max_conns=2; }";
    };
    my $g = gateway(<<"END", workers => 2);
proxy_http_version 1.1;
proxy_set_header Connection "";
@{[ $tls->('kept', '127.0.0.1:%%PORT_tls%%', ''),
    $tls->('new', '127.0.0.1:%%PORT_tls%%', 'lb_keepalive 0;'),
    $tls->('local', 'unix:%%DIR%%/tls', 'lb_keepalive 0;') ]}
server {
    listen 127.0.0.1:%%PORT_tls%% ssl;
    listen unix:%%DIR%%/tls ssl;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location / { proxy_pass http://127.0.0.1:@{[ $b->port ]}; }
}
server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT_h2%% ssl http2;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    location ~ /(.*)/ { set \$to \$1;
                        lb_queue \$to size=100 timeout=20s;
                        proxy_request_buffering off;
                        proxy_pass https://\$to; }
}
END
    for my $how (qw(kept new local)) {
        my $l = load($g, "/$how/", connections => 20, requests => 200,
                     method => 'POST', body => 'x' x 5000);
        is_deeply($l->{codes}, { 200 => 200 }, $how)
            or diag(explain($l->{codes}), $l->{error});
    }

    my $urls = 'https://127.0.0.1:' . $g->port('h2') . '/kept/[1-20]';
    my $codes = `curl -sk -Z --http2 -o /dev/null \\
                      -w '%{http_code} ' '$urls'`;
    is(scalar(() = $codes =~ /\b200\b/g), 20, 'streams of one connection')
        or diag($codes);
};


subtest 'a higher priority is first, and then who came first' => sub {
    my ($b) = slow(0.1, 'a');
    my $g = front([$b]);
    my @c = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });

    my $n = 0;
    for my $p (qw(0 x 5 9 5 10), '', '9') {
        push @c, asks($g, "/$n?p=$p");
        waiting($g, ++$n);
    }

    $_->response for @c;
    is_deeply([map { m{^/(\w+)} } $b->requests],
              [qw(first 3 7 2 4 0 1 5 6)],
              'what is no priority is the lowest');
};


subtest 'a wait ends after the timeout' => sub {
    my ($b) = slow(3, 'a');
    my $g = front([$b], queue => 'size=10 timeout=200ms priority=7',
                  http => 'error_page 404 /none;',
                  servers => 'location = /page { return 200 "page\n"; }
                              location /paged { lb_queue u size=1 timeout=10ms;
                                                proxy_pass http://u;
                                                error_page 503 /page; }');
    my $c = asks($g, '/');
    wait_for(sub { $b->requests == 1 });

    my $r = get($g, '/x');
    is($r->{code}, 503, 'refused');
    cmp_ok($r->{time}, '>=', 0.19, 'not before');
    cmp_ok($r->{time}, '<', 1, 'and not long after');
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'when to come again');
    is($r->{headers}{'content-type'}, 'application/json', 'in JSON');
    is_deeply(decode_json($r->{body}),
              { code => 503, message => 'Upstream is overloaded' }, 'its body');
    cmp_ok($r->{headers}{'x-queue-time'}, '>=', 0.19, 'how long it waited');
    like($g->log, qr/\[warn\] .*: a request of priority 7 is refused by the queue/,
         'and the log has it');
    like($g->log, qr/of upstream "u": no place has become free in time; 0 wai/,
         'and why');
    is(metric($g, 'lb_shed_total', 'upstream="u",priority="7"'), 1,
       'as have the metrics');

    $r = get($g, '/x', headers => { Accept => 'application/problem+json' });
    is($r->{headers}{'content-type'}, 'application/problem+json', 'a problem');
    is_deeply(decode_json($r->{body}),
              { type => 'https://iana.org/assignments/http-problem-types'
                        . '#temporary-reduced-capacity',
                title => 'Upstream is overloaded', status => 503 }, 'its body');

    $r = request($g, 'POST', '/x', body => "\0\0\0\0\2ab",
                 headers => { 'Content-Type' => 'application/grpc+proto' });
    is($r->{code}, 200, 'a client of gRPC');
    is($r->{headers}{'grpc-status'}, 14, 'is told in its terms');
    is($r->{headers}{'grpc-message'}, 'Upstream is overloaded', 'what is wrong');
    like($r->{headers}{'grpc-retry-pushback-ms'}, qr/^[1-9]\d*000$/, 'and when');
    is("$r->{headers}{'content-type'} $r->{body}", 'application/grpc ', 'alone');
    is($r->{headers}{'retry-after'}, undef, 'and nothing of HTTP');

    is(request($g, 'HEAD', '/x')->{body}, '', 'no body for HEAD');
    is(request($g, 'POST', '/x', body => 'a' x 100000)->{code}, 503,
       'one with a body');

    $r = get($g, '/paged');
    is("$r->{code} $r->{body}", "503 page\n", 'an error_page wins');
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'with when to come');
    is(scalar $b->requests, 1, 'the server has seen none of them');
};


subtest 'no more than size wait, and a lower priority gives way' => sub {
    my ($b) = slow(0.5, 'a');
    my $g = front([$b], queue => 'size=2 timeout=10s priority=$arg_p');
    my $first = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });

    my $old = asks($g, '/old?p=1');
    waiting($g, 1);
    my $new = asks($g, '/new?p=1');
    waiting($g, 2);

    is(get($g, '/?p=1')->{code}, 503, 'one of the same priority is refused');
    is(get($g, '/?p=0')->{code}, 503, 'one of a lower one, too');

    my $high = asks($g, '/high?p=2');
    is($old->response->{code}, 503, 'the oldest gives way to a higher one');
    is(metric($g, 'lb_queued'), 2, 'the others wait');

    is($_->response->{code}, 200, 'and get their answer') for $first, $high,
                                                              $new;
    is(metric($g, 'lb_shed_total', 'upstream="u",priority="1"'), 2, 'counted');
};


subtest 'a client that leaves frees its turn' => sub {
    my ($b) = slow(0.3, 'a');
    my $g = front([$b], queue => 'size=2 timeout=10s');
    my $first = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });

    my @gone = (asks($g, '/gone1'), asks($g, '/gone2'));
    waiting($g, 2);
    $gone[0]->reset;
    waiting($g, 1);
    my $c = asks($g, '/stays');
    waiting($g, 2);
    undef $gone[1];
    waiting($g, 1);

    is($c->response->{code}, 200, 'the one behind it is served');
    is_deeply([$b->requests], [qw(/first /stays)], 'and none that has gone');
    is(get($g, '/')->{code}, 200, 'no place is lost');
};


subtest 'a server that fails: retries are before all others, and no 502' => sub {
    my ($a, $b) = (backend(name => 'a', answer => sub { { delay => 0.05 } }),
                   backend(name => 'b', answer => sub { { delay => 0.05 } }));

    for my $unix (0, 1) {
        my $c = backend(name => 'c', unix => $unix,
                        answer => sub { { delay => 0.3 } });
        my $g = front([$a, $b, $c], workers => 2,
                      server => 'max_conns=2 max_fails=1 fail_timeout=60s',
                      location => 'proxy_next_upstream error timeout;');
        my $killed;
        my $most = 0;
        my $l = load($g, '/?p=9', connections => 40, requests => 400,
                     each => sub {
            my ($r) = @_;
            my $busy = $r->{headers}{'x-busy'} // 0;
            $most = $busy if $busy > $most;
            $c->kill if !$killed++;
        });

        is_deeply($l->{codes}, { 200 => 400 }, 'nobody sees it')
            or diag(explain($l->{codes}), $g->log =~ /^(.*502.*)$/m);
        is($most, 2, 'and the others get no more than max_conns');

        my @retried = map { (split ' ')[1] }
                      grep { / [2-9] \d/ } split /\n/, $g->access_log;
        cmp_ok(scalar @retried, '>=', 2, 'requests were sent again');
    }
};


subtest 'a retry waits for another server while its own has a place' => sub {
    my ($a, $b) = map { backend(name => $_) } qw(a b);
    my $g = front([$a, $b], server => 'max_conns=1 max_fails=0',
                  upstream => 'lb_keepalive 0;');
    $a->behave(action => 'reset');
    $b->behave(delay => 0.6);

    my @c = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });
    push @c, asks($g, '/again');
    ok(wait_for(sub { $a->requests >= 1 && metric($g, 'lb_queued') == 1 }),
       'it waits, and the worker does not wait for it');

    # others are not held up, and a new one gets the place that is free

    $a->behave;
    my $r = get($g, '/other');
    is("$r->{code} $r->{headers}{'x-backend'}", '200 a', 'others go on');
    is($_->response->{headers}{'x-backend'}, 'b', 'it gets its turn') for @c;
};


subtest 'when no server is left nobody waits for one' => sub {
    my ($b) = slow(1, 'a');
    my $g = front([$b], queue => 'size=10 timeout=20s',
                  server => 'max_conns=1 max_fails=1 fail_timeout=60s');
    my @c = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });
    push @c, map { asks($g, "/$_") } 1 .. 5;
    waiting($g, 5);
    $b->kill;

    is($_->response->{code}, 502, 'no server') for @c;
    is(metric($g, 'lb_queued'), 0, 'nobody waits');
};


subtest 'the only server fails once, and those who wait get their turn' => sub {
    my ($b) = slow(0.02, 'a');
    my $g = front([$b], server => 'max_conns=1 max_fails=1 fail_timeout=60s',
                  upstream => 'lb_keepalive 0;');
    $b->behave(delay => 0.5, action => 'reset');
    my $first = asks($g, '/first');
    wait_for(sub { $b->requests == 1 });
    my @c = map { asks($g, "/$_") } 1 .. 10;
    waiting($g, 10);
    $b->behave(delay => 0.02);

    is($first->response->{code}, 502, 'the one that has met it');
    is($_->response->{code}, 200, 'the others are answered') for @c;
    is(decode_json(get($g, '/upstreams/u')->{body})->{queue}{limit}, 1,
       'its places are those that there are');
};


subtest 'a server that is drained takes its places away, and back' => sub {
    my @b = slow(0.05, 'a', 'b');
    my $g = front(\@b);
    my ($id) = map { $_->{id} }
               @{ decode_json(get($g, '/upstreams/u')->{body})->{servers} };
    my $set = sub {
        is(request($g, 'PATCH', "/upstreams/u/servers/$id",
                   headers => { 'Content-Type' => 'application/json' },
                   body => qq({"state":"$_[0]"}))->{code}, 200, $_[0]);
    };

    my $limit = sub {
        return decode_json(get($g, '/upstreams/u')->{body})->{queue};
    };

    is_deeply($limit->(), { waiting => 0, refused => 0, limit => 2,
                            automatic => JSON::PP::false }, 'two places');
    $set->('draining');
    is($limit->()->{limit}, 1, 'one place');

    my @c = map { asks($g, "/$_") } 1 .. 4;
    waiting($g, 3);
    $set->('up');
    is($_->response->{code}, 200, 'an answer') for @c;

    my @from = map { scalar $_->requests } @b;
    cmp_ok($from[0], '>=', 1, 'the one that is back has some of them');
    cmp_ok($from[1], '>=', 1, 'and so has the other');
};


subtest 'a worker that is killed leaves its places, and holds up nobody' => sub {
    my @b = slow(0.05, 'a', 'b');
    my $g = front(\@b, workers => 2, server => 'max_conns=2');

    for my $round (1 .. 5) {
        my ($first) = $g->workers;
        my $killed;
        my $l = load($g, '/', connections => 30, requests => 100, retry => 1,
                     each => sub { kill('KILL', $first) if !$killed++ });

        cmp_ok($l->{codes}{200} // 0, '>=', 60, 'others are answered')
            or diag(explain($l->{codes}));
        is(($l->{codes}{502} // 0) + ($l->{codes}{503} // 0), 0,
           'and none is refused');
        $g->wait_workers(2);
    }

    ok(waiting($g, 0), 'nobody waits');
    ok(wait_for(sub { metric($g, 'lb_active', 'upstream="u",server="'
                                 . $_->address . '"') == 0 }),
       'no place is leaked') for @b;

    my $l = load($g, '/', connections => 4, requests => 40);
    cmp_ok($l->{seconds}, '<', 1.5, 'all four can be had');
};


subtest 'a reload and a graceful stop lose nobody who waits' => sub {
    my @b = slow(0.1, 'a');
    my $g = front(\@b, workers => 2, server => 'max_conns=2');
    my @c = map { asks($g, "/$_") } 1 .. 20;
    waiting($g, 18);

    ok($g->reload, 'reload');
    push @c, map { asks($g, "/more$_") } 1 .. 5;
    is($_->response->{code}, 200, 'an answer') for @c;
    ok(wait_for(sub { !$g->old_workers }), 'the old workers exit');

    @c = map { asks($g, "/$_") } 1 .. 10;
    waiting($g, 8);
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        kill('QUIT', $g->pid);
        POSIX::_exit(0);
    }
    waitpid($pid, 0);
    is($_->response->{code}, 200, 'an answer') for @c;
    is($g->quit, 0, 'nginx exits');
};


subtest 'whatever happens under a full queue, no place is lost' => sub {
    my @b = slow(0.03, qw(a b c));
    my $g = front(\@b, workers => 2,
                  server => 'max_conns=4 max_fails=1 fail_timeout=1s',
                  queue => 'size=500 timeout=20s priority=$arg_p',
                  upstream => 'lb_health_check interval=100ms timeout=500ms
                               rise=1 fall=1 uri=/check;');
    my ($id) = map { $_->{id} }
               @{ decode_json(get($g, '/upstreams/u')->{body})->{servers} };
    my $set = sub {
        request($g, 'PATCH', "/upstreams/u/servers/$id", body => $_[0],
                headers => { 'Content-Type' => 'application/json' });
    };
    my @events = (
        sub { kill('KILL', ($g->workers)[0]) },
        sub { $set->('{"state":"draining"}') },
        sub { $b[1]->kill },
        sub { $g->reload },
        sub { $set->('{"state":"up"}') },
        sub { $b[1]->start_again },
        sub { $set->('{"max_conns":1}') },
        sub { kill('KILL', ($g->workers)[1]) },
        sub { $set->('{"max_conns":4}') },
        sub { $g->reload },
    );

    my $pid = open(my $from, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        my $l = load($g, sub { '/?p=' . $_[0] % 10 }, connections => 60,
                     seconds => 5, retry => 1);
        print encode_json({ codes => $l->{codes} });
        close(STDOUT);
        POSIX::_exit(0);
    }

    for my $event (@events) {
        select(undef, undef, undef, 0.4);
        $event->();
    }

    my $l = decode_json(join('', <$from>));
    close($from);

    is(($l->{codes}{502} // 0) + ($l->{codes}{503} // 0), 0, 'none is refused')
        or diag(explain($l->{codes}));
    cmp_ok($l->{codes}{200}, '>', 200, 'most are answered');

    ok(waiting($g, 0), 'nobody waits');
    ok(wait_for(sub {
        3 == grep { metric($g, 'lb_active', 'upstream="u",server="'
                               . $_->address . '"') == 0 } @b
    }), 'no place is leaked');
    ok(wait_for(sub {
        my $u = decode_json(get($g, '/upstreams/u')->{body});
        $u->{usable} == 3 && $u->{queue}{limit} == 12
    }), 'all servers are back');

    $l = load($g, '/', connections => 12, requests => 120);
    is($l->{codes}{200}, 120, 'all places can be had');
    unlike($g->log, qr/\[alert\](?!.*exited on signal 9)/, 'no alerts');
};


subtest 'who needs no server does not wait' => sub {
    my ($b) = slow(0.5, 'a');
    my $g = front([$b], http => 'proxy_cache_path %%DIR%%/cache
                                 keys_zone=c:1m;',
                  location => 'proxy_cache c; proxy_cache_valid 1h;
                               proxy_cache_key $uri;');
    is(get($g, '/kept')->{code}, 200, 'into the cache');

    my $c = asks($g, '/first');
    wait_for(sub { $b->requests == 2 });

    my $r = get($g, '/kept');
    is($r->{code}, 200, 'out of the cache');
    cmp_ok($r->{time}, '<', 0.3, 'at once');
    $c->response;

    my $slow = client($g);
    $slow->send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    $r = get($g, '/other');
    is($r->{code}, 200, 'who sends a request takes no place');
    $slow->send('0123456789');
    is($slow->response->{code}, 200, 'until it is there');
};


subtest 'a refusal is answered out of the cache where nginx does that' => sub {
    my ($b) = slow(0.01, 'a');
    my $cached = sub {
        my ($name, $on, $queue) = @_;
        return "location /$name/ { lb_queue u size=10 timeout=$queue;
                    proxy_cache c; proxy_cache_valid 1s;
                    proxy_cache_key \$uri; proxy_cache_use_stale $on;
                    proxy_pass http://u;
                    add_header X-Cache \$upstream_cache_status always; }";
    };
    my $g = front([$b], http => 'proxy_cache_path %%DIR%%/cache
                                 keys_zone=c:1m;',
                  server => 'max_conns=1 max_fails=1 fail_timeout=60s',
                  servers => join('', $cached->('error', 'error', '100ms'),
                                      $cached->('http_503', 'http_503', '100ms'),
                                      $cached->('off', 'off', '100ms'),
                                      $cached->('long', 'error', '20s'),
                                      $cached->('tls', 'error', '20s')
                                          =~ s/http:/https:/r));
    my @names = qw(error http_503 off long);

    is(get($g, "/$_/x")->{code}, 200, "$_: into the cache") for @names;
    is(get($g, '/long/y')->{code}, 200, 'and another one');
    select(undef, undef, undef, 2.1);

    $b->behave(action => 'hang');
    my $first = asks($g, '/first');
    wait_for(sub { $b->requests == 6 });

    for my $name (qw(error http_503)) {
        my $r = get($g, "/$name/x");
        is("$r->{code} $r->{headers}{'x-cache'}", '200 STALE', $name);
        like($r->{body}, qr/"backend":"a"/, 'what the server said');
        cmp_ok($r->{time}, '>=', 0.09, 'when the wait was over');
    }

    is(get($g, '/off/x')->{code}, 503, 'off');
    is(get($g, '/error/none')->{code}, 503, 'what is not in the cache');

    my @c = map { asks($g, "/long/$_") } qw(x y none tls/x);
    waiting($g, 4);
    $b->kill;
    my @r = map { $_->response } @c;
    is("$_->{code} $_->{headers}{'x-cache'}", '200 STALE', 'no server left')
        for @r[0, 1];
    is($_->{code}, 502, 'and not in the cache') for @r[2, 3];
    is(get($g, '/long/x')->{headers}{'x-cache'}, 'STALE', 'still no server');
    waiting($g, 0);
    unlike($g->log, qr/Bad file|upstream timed out|\[alert\]/, 'no other error');
    is($g->quit, 0, 'nginx exits');
};


subtest 'places: inherited, switched off, by a variable, of several' => sub {
    my @b = slow(0.3, 'a', 'b');
    my $g = gateway(<<"END");
upstream u { lb round_robin; @{[ $b[0]->server('max_conns=1') ]} }
upstream v { lb round_robin; @{[ $b[1]->server('max_conns=1') ]} }
lb_queue u size=5 timeout=5s;
lb_queue v size=5 timeout=5s;
server {
    listen 127.0.0.1:%%PORT%%;
    location /u { proxy_pass http://u; }
    location /v { proxy_pass http://v; }
    location /off { lb_queue off; proxy_pass http://u; }
    location /only { lb_queue u size=1 timeout=1s; proxy_pass http://v; }
    location /by { set \$up u; lb_queue \$up size=5 timeout=5s;
                   proxy_pass http://\$up; }
}
END
    my @c = (asks($g, '/u'), asks($g, '/v'));
    wait_for(sub { $_->requests == 1 }) for @b;

    is(get($g, '/off')->{code}, 502, 'off');
    is(get($g, '/only')->{code}, 502, 'that of another one');
    is(get($g, $_)->{code}, 200, $_) for qw(/u /v);
    push @c, asks($g, '/u');
    wait_for(sub { $b[0]->requests == 3 });
    is(get($g, '/by')->{code}, 200, 'by a variable');
    $_->response for @c;
};


subtest 'subrequests wait too' => sub {
    my ($b) = slow(0.1, 'a');
    my $g = front([$b], servers => 'location /main { auth_request /auth; }
                                    location /auth { internal;
                                        lb_queue u size=5 timeout=5s;
                                        proxy_pass http://u; }');
    my @c = map { asks($g, '/first') } 1 .. 2;
    waiting($g, 1);
    my $r = get($g, '/main');
    is($r->{code}, 404, 'after those before it');
    cmp_ok($r->{time}, '>', 0.1, 'it has waited');
    is($_->response->{code}, 200, 'as they did') for @c;
    is(scalar $b->requests, 3, 'three requests');
};


subtest 'twice as many as there are places for, of two priorities' => sub {
    my @b = slow(0.05, qw(a b c));
    my $g = front(\@b, workers => 2, server => 'max_conns=8',
                  queue => 'size=1000 timeout=500ms priority=$arg_p');

    my (%codes, %times);
    my $most = 0;
    my $l = load($g, sub { '/?p=' . ($_[0] % 3 == 0 ? 9 : 1) },
                 connections => 48, seconds => 4, each => sub {
        my ($r, $i) = @_;
        my $p = $i % 3 == 0 ? 9 : 1;
        my $busy = $r->{headers}{'x-busy'} // 0;
        $most = $busy if $busy > $most;
        $codes{$p}{ $r->{code} }++;
        push @{ $times{$p} }, $r->{time} if $r->{code} == 200;
    });

    my %median = map { my @t = sort { $a <=> $b } @{ $times{$_} };
                       ($_ => $t[@t / 2]) } keys %times;
    note(sprintf('%.0f/s of %d; medians %.0f and %.0f ms',
                 $l->{codes}{200} / $l->{seconds}, 24 / 0.05,
                 map { $_ * 1000 } @median{9, 1}));

    # what it amounts to without others on the machine is in bench/queue.pl

    is($most, 8, 'max_conns is kept to');
    is($l->{codes}{502} // 0, 0, 'no 502');
    is($l->{errors}, 0, 'no error');
    cmp_ok($codes{9}{503} // 0, '<=', $codes{1}{503} // 0,
           'it is the lower class that is shed');
    cmp_ok($median{9}, '<', $median{1}, 'and that waits');
};


subtest 'limit=auto: a server that slows down, and is fast again' => sub {
    my $b = backend(name => 'a');
    my $g = front([$b], workers => 2, server => '',
                  queue => 'size=1000 timeout=2s limit=auto');
    my $limit = sub { metric($g, 'lb_queue_limit') };

    # the lowest and the highest limit while the server takes so long

    my $under = sub {
        my ($delay, $seconds) = @_;
        my ($n, $least, $most) = (0, 1e9, 0);

        $b->behave(delay => $delay);
        load($g, '/', connections => 60, seconds => $seconds, each => sub {
            return if $n++ % 20;
            my $now = $limit->();
            $least = $now if $now < $least;
            $most = $now if $now > $most;
        });

        return ($least, $most);
    };

    is($limit->(), 32, 'it begins at 32');
    is_deeply(decode_json(get($g, '/upstreams/u')->{body})->{queue},
              { waiting => 0, refused => 0, limit => 32,
                automatic => JSON::PP::true }, 'and is shown');

    my (undef, $before) = $under->(0.1, 3);
    cmp_ok($before, '>', 32, 'a server that keeps its time gets more');

    my ($least) = $under->(0.5, 3);
    cmp_ok($least, '<', $before * 0.7, 'one that gets slower gets less');

    my (undef, $after) = $under->(0.1, 4);
    cmp_ok($after, '>', $least * 1.4, 'and more as it is fast again');
};


done_testing();
