# The example configurations: nginx accepts them, and they do what they say.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Example qw(example);
use IO::Socket::INET;
use Test::More;

my $conf = "$FindBin::Bin/../conf";

my @ports = (qr/listen 8080/, 'listen 127.0.0.1:%%PORT%%',
             qr/127\.0\.0\.1:8081/, '127.0.0.1:%%PORT_admin%%');

subtest 'every example is accepted' => sub {
    my $password = temp_dir() . '/password';
    open(my $out, '>', $password) or die "$password: $!\n";
    print $out "secret\n";
    close($out);

    my @files = map { s,.*/,,r } glob("$conf/*.conf");
    cmp_ok(scalar @files, '>=', 5, 'they are found');

    for my $name (@files) {
        my $text = example($name)
            =~ s/listen \K(?:127\.0\.0\.1:)?808(\d)/127.0.0.1:%%PORT_$1%%/gr
            =~ s/password_file=\S+?(;|\s)/password_file=$password$1/gr;
        my ($code, $err) = check($text);
        is($code, 0, $name) or diag($err);
    }
};

subtest 'production.conf serves' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my @servers = map { qr/127\.0\.0\.1:900$_\b/, $b[$_ - 1]->address } 1 .. 3;
    my $g = gateway(example('production.conf', @ports, @servers,
                            qr/rate=10r\/s capacity=100/,
                            'rate=1r/h capacity=5',
                            qr/ buffer=64k flush=1s/, ''),
                    workers => 2, user => 'www-data');
    my $admin = $g->port('admin');

    is(get($g, '/')->{code}, 200, 'a request is answered');

    my $r = get($admin, '/upstreams', headers => { Host => 'evil.example' });
    is($r->{code}, 421, 'the admin server refuses a name it does not know');
    is($r->{body}, '{"code":421,"message":"Misdirected request"}', 'as JSON');

    $r = get($admin, '/', headers => { Host => 'localhost' });
    like($r->{body}, qr/<title>Gateway/, 'the status page is there');
    like($r->{headers}{'content-security-policy'}, qr/frame-ancestors 'none'/,
         'for nobody to frame');

    for my $uri (qw(/clients /upstreams /metrics/tbucket /metrics/lb
                    /status)) {
        is(get($admin, $uri, headers => { Host => 'localhost' })->{code}, 200,
           "$uri is there");
    }
    $r = get($admin, '/nowhere', headers => { Host => 'localhost' });
    is($r->{code}, 404, 'what is not there keeps its status');
    like($r->{headers}{'content-type'}, qr{^application/json}, 'as JSON');
    is($r->{body}, '{"code":404,"message":"Not found"}', 'with its name');

    for (['PUT', '/clients/top-secret-2', '{"capacity":9,"rate_per_sec":9}',
          201],
         ['PATCH', '/upstreams/backend/servers/1', '{"weight":2}', 200])
    {
        my ($method, $uri, $body, $code) = @$_;
        $r = request($admin, $method, $uri, body => $body,
                     headers => { 'Content-Type' => 'application/json' });
        is($r->{code}, $code, "$uri: workers may write where it is kept")
            or diag($r->{body});
    }

    get($g, '/') for 1 .. 4;
    $r = get($g, '/secret', headers => { 'X-API-Key' => 'top-secret' });
    is($r->{code}, 429, 'who is over the limit is refused');
    is($r->{body}, '{"code":429,"message":"Rate limit exceeded"}',
       'in the words of the limiter');

    my $log;
    wait_for(sub {
        $log = Gateway::slurp($g->dir . '/access.json');
        $log =~ m{/secret};
    });
    unlike($log, qr/top-secret/, 'no API key is in the log');
    require JSON::PP;
    my @lines = map { eval { JSON::PP::decode_json($_) } // 0 }
                split /\n/, $log;
    ok(!grep({ !$_ } @lines), 'each line of the log is JSON');
    my ($refused) = grep { $_->{uri} eq '/secret' } @lines;
    is($refused->{limit}{status}, 'REJECTED', 'and says who refused');
    is($lines[0]{balancer}{tries}, '1', 'or how many servers were tried');
};

subtest 'api-product.conf sells an API in plans' => sub {
    my $b = backend(name => 'a');
    my $g = gateway(example('api-product.conf', @ports,
                            qr/127\.0\.0\.1:9001/, $b->address),
                    workers => 2, user => 'www-data');
    my %key = (headers => { 'X-Api-Key' => 'customer' });

    my $admin = sub {
        my ($method, $uri, $body) = @_;

        return request($g->port('admin'), $method, $uri,
                       headers => { 'Content-Type' => 'application/json' },
                       body => $body);
    };

    my $hang = sub {
        my $c = client($g);
        $c->send("GET /?action=hang HTTP/1.1\r\nHost: a\r\n"
                 . "X-Api-Key: customer\r\n\r\n");
        return $c;
    };

    my $under_way = sub {
        my ($n) = @_;

        return wait_for(sub {
            get($g->port('admin'), '/metrics')->{body}
                =~ /^tbucket_inflight\{zone="open"\} $n$/m;
        });
    };

    my $policy = sub {
        my ($r) = @_;

        my $text = $r->{headers}{'ratelimit-policy'} =~ s/("month";q=\d+;w=)\d+/$1MONTH/r;
        return join ', ', sort split /, /, $text;
    };

    for my $n (1 .. 11) {
        my $r = get($g, '/', headers => { 'X-Api-Key' => "guess$n" });
        is($r->{code}, $n <= 10 ? 401 : 429, "guess $n");
    }

    my %plans = (free  => [10, 1, 103, 1], team => [40, 20, 1000, 3],
                 scale => [1000, 100, 50000, 100]);

    for my $plan (sort keys %plans) {
        my ($capacity, $rate, $quota, $inflight) = @{ $plans{$plan} };

        is(join(' ', map { $_->{code} }
                $admin->('PUT', "/plans/rate/$plan",
                         qq({"capacity":$capacity,"rate_per_sec":$rate})),
                $admin->('PUT', "/plans/month/$plan", qq({"quota":$quota})),
                $admin->('PUT', "/plans/open/$plan",
                         qq({"inflight":$inflight}))),
           '201 201 201', "the plan $plan is described");
    }

    is($admin->('PUT', '/clients/customer', '{"plan":"free"}')->{code}, 201,
       'a customer is registered');

    my $r = get($g, '/reports', %key);
    is($r->{code}, 200, 'and served');
    is($policy->($r), '"keys";q=10;w=10, "month";q=103;w=MONTH, '
       . '"open";q=1;qu="concurrent-requests"', 'by three limits of one plan');

    my @open = $hang->();
    ok($under_way->(1), 'a request is under way');

    $r = get($g, '/', %key);
    is($r->{code}, 429, 'there is no place for another');
    is($r->{headers}{'retry-after'}, 1, 'which may be soon');
    like(get($g->port('admin'), '/month/customer')->{body},
         qr/"quota":103,"tokens":2,/, 'and the month is not charged for it');

    is($admin->('PATCH', '/clients/customer', '{"plan":"team"}')->{code}, 200,
       'the customer takes another plan');
    push @open, $hang->() for 1 .. 2;
    ok($under_way->(3), 'and has more requests under way');
    is(get($g, '/', %key)->{code}, 429, 'as many as that has');

    is($admin->('PUT', '/plans/open/team', '{"inflight":50}')->{code}, 200,
       'what the plan has is changed');
    $r = get($g, '/', %key);
    is($policy->($r), '"keys";q=40;w=2, "month";q=1000;w=MONTH, '
       . '"open";q=50;qu="concurrent-requests"', 'for its customers');
    is($r->{code}, 200, 'who has more of the month, too');
    like(get($g->port('admin'), '/month/customer')->{body},
         qr/"quota":1000,"tokens":896,/, 'but for what has been used');

    ok(wait_for(sub {
        get($g, '/reports', %key);
        get($g->port('admin'), '/month/customer')->{body} =~ /"tokens":96,/;
    }), 'until that is used up');
    $r = get($g, '/reports', %key);
    is($r->{code}, 429, 'and the month is over');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 31 * 86400, 'which it says');

    is($admin->('DELETE', '/plans/rate/team')->{code}, 409,
       'a plan that is in use stays');
    is(get($g, '/healthz')->{code}, 204, 'what is not limited is there');
};


# A client of HTTP/2 that reads frames: [type, flags, payload].

sub frames
{
    my ($port, $path) = @_;

    my $literal = sub { pack('C/a* C/a*', @_) };
    my $block = "\x83\x86\x04" . pack('C/a*', $path)
                . "\x01" . pack('C/a*', 'localhost')
                . "\x00" . $literal->('content-type', 'application/grpc')
                . "\x00" . $literal->('te', 'trailers');
    my $frame = sub {
        my ($type, $flags, $stream, $payload) = @_;
        return substr(pack('N', length $payload), 1)
               . pack('CCN', $type, $flags, $stream) . $payload;
    };

    my $sock = IO::Socket::INET->new("127.0.0.1:$port") or die "connect: $!\n";
    print $sock "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", $frame->(4, 0, 0, ''),
                $frame->(1, 5, 1, $block);
    $sock->flush;

    my @frames;
    while (read($sock, my $head, 9) == 9) {
        my ($length, $type, $flags) = unpack('N C C', "\0$head");
        read($sock, my $payload, $length) == $length or last;
        push @frames, [$type, $flags, $payload];
        last if $type <= 1 && $flags & 1;
    }

    return @frames;
}


# A client of gRPC takes a status for one of gRPC's if the response is of
# headers only, with 200: in HPACK, 0x88.

subtest 'queue.conf lets people go before crawlers' => sub {
    my @b = map { backend(name => $_, answer => sub { { delay => 0.3 } }) }
            1 .. 3;
    my $g = gateway(example('queue.conf',
        qr/listen 8080/, 'listen 127.0.0.1:%%PORT%%',
        qr/max_conns=8/, 'max_conns=1',
        map { (qr/127\.0\.0\.1:900$_\b/, $b[$_ - 1]->address) } 1 .. 3));

    my $ask = sub {
        my ($agent) = @_;
        my $c = client($g);
        $c->send("GET /$agent HTTP/1.1\r\nHost: a\r\n"
                 . "User-Agent: $agent\r\nConnection: close\r\n\r\n");
        return $c;
    };

    my @first = map { $ask->('first') } 1 .. 3;
    wait_for(sub { 3 == grep { scalar $_->requests == 1 } @b });

    my @late = map { $ask->($_) } ('bot') x 3, ('person') x 3;
    is($_->response->{code}, 200, 'an answer') for @first, @late;
    is(join(' ', map { ($_->requests)[1] } @b), '/person /person /person',
       'people are next');
    like($g->access_log, qr{"GET /bot HTTP/1.1" 200 \S+ queue=0\.[5-9]},
         'and the log says how long they waited');
};

subtest 'grpc_upstream.conf speaks gRPC when no backend is left' => sub {
    my $g = gateway(example('grpc_upstream.conf',
                            qr/listen 8080/, 'listen 127.0.0.1:%%PORT%%',
                            qr/10\.0\.0\.[12]:50051/, '127.0.0.1:1'));
    my @frames = grep { $_->[0] <= 1 }
                 frames($g->port, '/helloworld.Greeter/SayHello');

    is(scalar @frames, 1, 'one frame');
    is($frames[0][0], 1, 'of headers');
    is($frames[0][1] & 1, 1, 'ends it');
    like($frames[0][2], qr/\x88/, 'the status of HTTP is 200');

    my $curl = 'curl -si --http2-prior-knowledge -X POST http://127.0.0.1:'
               . $g->port . '/helloworld.Greeter/SayHello';
    like(`$curl`, qr/^HTTP\/2\ 200\ .*^content-type:\ application\/grpc\r\n.*
                     ^grpc-status:\ 14\r\n/msx, "that of gRPC is UNAVAILABLE");
};

# The examples of what is charged later, each with a backend in the place of its
# own.

sub settled
{
    my ($name, $backend, @replace) = @_;

    return gateway(example($name, qr/listen 8080/,
                           'listen 127.0.0.1:%%PORT%%',
                           $backend ? (qr/127\.0\.0\.1:9001/,
                                       $backend->address) : (), @replace));
}


sub codes
{
    my ($g, $n, @request) = @_;

    return join ' ', map { get($g, @request)->{code} } 1 .. $n;
}


subtest 'models.conf charges what answers have used' => sub {
    my $b = backend(answer => sub {
        return { headers => { 'Content-Type' => 'application/json' },
                 body => '{"usage":{"prompt_tokens":1000,'
                         . '"completion_tokens":29000}}' };
    });
    my $g = settled('models.conf', $b);
    my $left = sub {
        return get($g, '/v1/x', headers => { Authorization => $_[0] })
               ->{headers}{ratelimit} // '';
    };

    like($left->('a'), qr/^"minute";r=59500;t=60, "month";r=1999500;/,
         'a request is admitted at its estimate');
    ok(wait_for(sub { get($g, '/v1/x', headers => { Authorization => 'b' });
                      Gateway::slurp($g->dir . '/models.log')
                      =~ / 200 PASSED cost=30000 in=1000 out=29000$/m }),
       'and costs what it has used');
    like($left->('a'), qr/^"minute";r=(?:29|30)\d{3};t=\d+, "month";r=1969500;/,
         'by the minute and by the month');
    ok(wait_for(sub { $left->('a') =~ /^"minute";r=0;t=(?!1,)\d+/ }),
       'until the budget is spent');
    is(codes($g, 1, '/v1/x', headers => { Authorization => 'a' }), '429',
       'and the next one is refused');
    unlike(Gateway::slurp($g->dir . '/models.log'), qr/ a /,
           'keys are not in the log');
};

subtest 'logins.conf counts failures only' => sub {
    my $b = backend(answer => sub {
        return { status => $_[0]{uri} =~ /right/ ? 200 : 401 };
    });
    my $g = settled('logins.conf', $b);

    is(codes($g, 10, '/login?right'), join(' ', (200) x 10),
       'who knows his password is never limited');
    is(codes($g, 7, '/login?wrong'), '401 401 401 401 401 429 429',
       'who does not is, after five times');
    is(codes($g, 1, '/login?right'), '429', 'whatever he tries then');
};

subtest 'cache.conf lets hits go free' => sub {
    my $b = backend(answer => sub { return { body => 'page' } });
    my $g = settled('cache.conf', $b, qr/rate=10r\/s capacity=100/,
                    'rate=1r/h capacity=4');

    is(codes($g, 20, '/a'), join(' ', (200) x 20), 'one miss, and hits');
    is(codes($g, 4, "/b$_"), join(' ', (200) x 4), "another: $_") for 1, 2;
    is(codes($g, 2, '/c'), '200 429', 'who asks for more is refused');
};

subtest 'bytes.conf limits what goes out' => sub {
    my $g = settled('bytes.conf', undef,
                    qr/capacity=100000000/, 'capacity=100000',
                    qr{/var/www/html}, '%%DIR%%/html');
    open(my $out, '>', $g->dir . '/html/large') or die "large: $!\n";
    print $out 'x' x 1_000_000;
    close($out);

    my $r = get($g, '/large');
    is(length $r->{body}, 1_000_000, 'a large file goes out at once');
    ok(wait_for(sub { get($g, '/large')->{code} == 429 }, 0.5), 'into debt');
    ok(wait_for(sub { get($g, '/large')->{code} == 200 }, 10),
       'which is paid with time');
};

done_testing();
