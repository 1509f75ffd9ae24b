# The Redis store: Redis is the truth for clients, whoever changes them; what
# was answered with 2xx is in it; drained buckets stay drained; and nothing
# waits for a Redis that is not there.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);


sub text
{
    my ($url, %o) = @_;

    my $size  = $o{size} // '4m';
    my $zone  = $o{zone} // 'rate=10r/s capacity=10';
    my $store = $url . ' ' . ($o{store} // '');

    return <<"END";
        tbucket_zone \$http_x_api_key zone=clients:$size $zone;
        tbucket_store $store;
        client_max_body_size 64m;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=clients; }
            location /clients { tbucket_api zone=clients; }
            location /metrics { tbucket_metrics; }
        }
END
}

sub start { my ($r, %o) = @_;
            return gateway(text(ref $r ? $r->url : $r, %o),
                           workers => $o{workers} // 2) }

sub api
{
    my ($g, $method, $uri, $body) = @_;

    return request($g, $method, $uri, defined $body
        ? (body => encode_json($body),
           headers => { 'Content-Type' => 'application/json' }) : ());
}

sub put
{
    my ($g, $id, $capacity, $rate) = @_;

    return api($g, 'PUT', "/clients/$id",
               { capacity => $capacity, rate_per_sec => $rate })->{code};
}

sub client_of { my ($g, $id) = @_;
                my $r = api($g, 'GET', "/clients/$id");
                return $r->{code} == 200 ? decode_json($r->{body}) : undef }

# "capacity/rate" of a registered client, or "-".

sub limits_of
{
    my ($g, $id) = @_;

    my $c = client_of($g, $id);

    return $c && $c->{registered} ? "$c->{capacity}/$c->{rate_per_sec}" : '-';
}

sub becomes
{
    my ($g, $id, $limits, $name, $timeout) = @_;

    wait_for(sub { limits_of($g, $id) eq $limits }, $timeout);
    is(limits_of($g, $id), $limits, $name);
}

sub registered
{
    my ($g) = @_;

    my (%all, $next);

    do {
        my $r = api($g, 'GET', '/clients?limit=1000'
                               . ($next ? "&cursor=$next" : ''));
        my $page = decode_json($r->{body});
        $all{ $_->{client_id} } = "$_->{capacity}/$_->{rate_per_sec}"
            for @{ $page->{clients} };
        $next = $page->{next};
    } while (defined $next);

    return \%all;
}

sub admitted
{
    my ($g, $key, $n) = @_;

    return load($g, '/none', requests => $n,
                headers => { 'X-Api-Key' => $key })->{codes}{404} // 0;
}

sub value { sprintf('{"capacity":%s,"rate_per_sec":%s}', @_) }
sub key   { 'tbucket:{clients}:' . $_[0] }

sub count { my ($g, $re) = @_; my @n = $g->log =~ /$re/g; return scalar @n }

sub up { my ($g) = @_; return get($g, '/metrics')->{body}
                              =~ /^tbucket_store_up (\d)$/m ? $1 : '?' }


subtest 'writes are in Redis when they are answered' => sub {
    my $r = redis();
    my $g = start($r);

    my $p = api($g, 'POST', '/clients', { client_id => 'user1',
                capacity => 100, rate_per_sec => 10 });
    is($p->{code}, 201, 'POST') or diag($p->{body});
    is($r->command('HGET', key('clients'), 'user1'), value(100, 10),
       'is in the hash');
    my $entries = $r->command('XRANGE', key('changes'), '-', '+');
    is_deeply($entries->[-1][1], ['id', 'user1'], 'and in the stream');
    ok($r->command('EXISTS', key('epoch')), 'there is an epoch');

    is(api($g, 'POST', '/clients', { client_id => 'user1', capacity => 1,
           rate_per_sec => 1 })->{code}, 409, 'a second POST is a conflict');
    is(put($g, 'user1', 50, 0.5), 200, 'PUT replaces');
    is(put($g, 'user2', 5, 2), 201, 'and creates');
    is(api($g, 'PATCH', '/clients/user1', { capacity => 60 })->{code}, 200,
       'PATCH');
    is($r->command('HGET', key('clients'), 'user1'), value(60, 0.5),
       'keeps the other limit');
    is(limits_of($g, 'user1'), '60/0.5', 'here as well');
    is(api($g, 'PATCH', '/clients/none', { capacity => 60 })->{code}, 404,
       'PATCH of nobody');
    is(api($g, 'DELETE', '/clients/none')->{code}, 404, 'DELETE of nobody');
    is(api($g, 'DELETE', '/clients/user2')->{code}, 204, 'DELETE');
    ok(!$r->command('HEXISTS', key('clients'), 'user2'), 'is in the hash');
    is(limits_of($g, 'user2'), '-', 'and here');

    my $t = api($g, 'PATCH', '/clients/user1', { tokens => 61 });
    is($t->{code}, 400, 'more tokens than the capacity');
    like($t->{body}, qr/tokens is 61, must be .* here 60/, 'are told');
    is(api($g, 'PATCH', '/clients/user1', { tokens => 3 })->{code}, 200,
       'fewer');
    cmp_ok(client_of($g, 'user1')->{tokens}, '<', 4, 'are set');

    my $b = api($g, 'POST', '/clients',
                [map { { client_id => "b$_", capacity => $_,
                         rate_per_sec => 1 } } 1 .. 1200]);
    is($b->{code}, 200, 'an array');
    is_deeply(decode_json($b->{body}), { created => 1200, updated => 0 },
              'is counted');
    is($r->command('HLEN', key('clients')), 1201, 'and all there');
    is(limits_of($g, 'b777'), '777/1', 'and here');
    is(scalar keys %{ registered($g) }, 1201, 'all of it');
    $b = api($g, 'POST', '/clients',
             [map { { client_id => "b$_", capacity => 7,
                      rate_per_sec => 1 } } 1000 .. 1999]);
    is_deeply(decode_json($b->{body}), { created => 799, updated => 201 },
              'known ones are updated');
    is_deeply([grep { /saving|clients:/ }
               @{ $r->command('KEYS', '*') }], [], 'nothing is left over');

    $r->command('SCRIPT', 'FLUSH');
    is(put($g, 'user3', 5, 2), 201, 'a Redis without our scripts gets them');
    is(up($g), 1, 'the store is up');
    unlike($g->log, qr/\[(error|alert|crit|emerg)\]/, 'nothing went wrong');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'two gateways' => sub {
    my $r = redis();
    my $x = start($r, store => 'node=a');
    my $y = start($r, store => 'node=b');

    my @ms;
    for my $n (1 .. $ENV{TEST_ROUNDS} || 20) {
        put($x, 'user1', $n, 1);
        my $begin = time();
        wait_for(sub { limits_of($y, 'user1') eq "$n/1" });
        push @ms, 1000 * (time() - $begin);
    }
    @ms = sort { $a <=> $b } @ms;
    is(limits_of($y, 'user1'), scalar(@ms) . '/1', 'a change gets across');
    cmp_ok($ms[@ms / 2], '<', 100,
           sprintf('in %.1f ms (median; most %.1f)', $ms[@ms / 2], $ms[-1]));

    put($x, 'user2', 7, 1);
    becomes($y, 'user2', '7/1', 'another one');
    is(admitted($y, 'user2', 30), 7, 'limits there');
    api($y, 'DELETE', '/clients/user1');
    becomes($x, 'user1', '-', 'so does a removal');

    $r->command('HSET', key('clients'), 'hand', value(7, 3));
    becomes($_, 'hand', '7/3', 'HSET by hand', 2) for $x, $y;
    $r->command('HSET', key('clients'), 'hand',
                '{ "rate_per_sec": 2.50, "capacity": 1e1 }');
    becomes($_, 'hand', '10/2.5', 'another spelling', 2) for $x, $y;
    $r->command('HSET', key('clients'), 'hand', '{"capacity":0}');
    $r->command('HSET', key('clients'), "odd\nid", '7');
    $r->command('HSET', key('clients'), 'good', value(8, 1));
    becomes($_, 'good', '8/1', 'a good one beside malformed ones', 2)
        for $x, $y;
    is(limits_of($x, 'hand'), '10/2.5', 'a malformed one keeps its limits');
    ok($x->wait_log(qr/value of "hand" in "tbucket:\{clients\}:clients" is skipped: .*capacity/),
       'and is told with its key');
    ok($x->wait_log(qr/value of "odd\\u000[aA]id" .* is skipped/),
       'and the key is escaped');
    is(api($x, 'PATCH', '/clients/hand', { rate_per_sec => 5 })->{code}, 200,
       'PATCH of it');
    becomes($y, 'hand', '10/5', 'goes by the limits in force');
    $r->command('HDEL', key('clients'), 'hand');
    becomes($_, 'hand', '-', 'HDEL by hand', 2) for $x, $y;
    sleep(1.2);
    is(count($x, qr/value of "odd/), 1, 'a malformed value is told once');

    my ($holder) = grep { slurp("/proc/$_/net/unix"); 1 } $x->workers;
    kill('KILL', $_) for ($x->workers)[0];
    $x->wait_workers(2);
    put($y, 'user9', 9, 9);
    becomes($x, 'user9', '9/9', 'when a worker dies another one goes on', 5);
    kill('KILL', $_) for ($x->workers)[0];
    $x->wait_workers(2);
    put($y, 'user9', 8, 8);
    becomes($x, 'user9', '8/8', 'again', 5);

    ok($x->reload, 'a reload');
    put($y, 'user9', 7, 7);
    becomes($x, 'user9', '7/7', 'hands over', 5);
    is($_->quit, 0, 'a graceful stop ends') for $x, $y;
};

sub slurp { my ($path) = @_; open(my $in, '<', $path) or return '';
            local $/; return <$in> }

done_testing();
