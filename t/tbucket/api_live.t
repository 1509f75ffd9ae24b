# Clients that are changed while requests are served: limits hold from the
# next request on, in every worker, whatever dies or is reloaded meanwhile.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical;


sub config
{
    my (%o) = @_;

    my $size  = $o{size}  // '16m';
    my $limit = $o{limit} // 'rate=1r/h capacity=3';
    my $store = $o{store} ? "tbucket_store $o{store};" : '';

    return <<"END";
    $store
    tbucket_zone \$http_x_api_key zone=z:$size $limit;
    log_format all '\$status \$tbucket_status \$tbucket_zone \$tbucket_client';
    access_log %%DIR%%/logs/all.log all;
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 20m;
        keepalive_requests 1000000;
        location / {
            tbucket zone=z;
            add_header X-Hash \$tbucket_client_hash always;
            try_files /none =204;
        }
        location /planned {
            tbucket zone=z plan=\$http_x_plan;
            try_files /none =204;
        }
        location /clients { tbucket_api zone=z write=on; }
        location /plans { tbucket_api zone=z plans write=on; }
    }
END
}


sub limits { return { capacity => $_[0], rate_per_sec => $_[1] } }
sub client_of { return { client_id => $_[0], %{ limits($_[1], $_[2]) } } }


# All registered clients: id -> client.

sub everybody
{
    my ($g) = @_;

    my (%all, $cursor);

    do {
        my $r = api($g, 'GET', '/clients?limit=1000'
                               . ($cursor ? "&cursor=$cursor" : ''));
        $all{ $_->{client_id} } = $_ for @{ $r->{json}{clients} };
        $cursor = $r->{json}{next};
    } while (defined $cursor);

    return \%all;
}


# A connection to each of the workers, at least.

sub everywhere
{
    my ($g, $key) = @_;

    my @all = map { client($g) } 1 .. 12;

    return sub {
        $_->send("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: $key\r\n\r\n")
            for @all;
        return join ' ', map { $_->response->{code} } @all;
    };
}


subtest 'a registered client has its own limits, the others theirs' => sub {
    my $g = gateway(config(), workers => 2);

    is(api($g, 'POST', '/clients', client_of('user1', 100, 10))->{code}, 201,
       'registered');

    my $begin = time;
    my $l = load($g, '/', connections => 16, requests => 300,
                 headers => { 'X-API-Key' => 'user1' });
    my $earned = 10 * (time - $begin);

    cmp_ok($l->{codes}{204}, '>=', 100, 'a hundred at once');
    cmp_ok($l->{codes}{204}, '<=', 101 + $earned, 'and not more');

    $begin = time;
    my $admitted = 0;
    $l = load($g, '/', connections => 4, seconds => 2.05,
              headers => { 'X-API-Key' => 'user1' },
              each => sub { $admitted += $_[0]{code} == 204 });
    $earned = 10 * (time - $begin);

    cmp_ok($admitted, '>=', 0.999 * 10 * 2 - 1, 'then ten a second');
    cmp_ok($admitted, '<=', $earned + 1, 'and not more');

    $l = load($g, '/', requests => 10, headers => { 'X-API-Key' => 'user2' });
    is($l->{codes}{204}, 3, 'another one has the defaults');
};


subtest 'the next request in any worker sees a change' => sub {
    my $g = gateway(config(), workers => 2);
    my $ask = everywhere($g, 'a');
    my @wrong;

    api($g, 'PUT', '/clients/a', limits(1000, 0.0001));

    for my $round (1 .. 40) {
        api($g, 'PATCH', '/clients/a', { tokens => 0 });
        my $codes = $ask->();
        push @wrong, "$round drained: $codes" if $codes =~ /204/;

        api($g, 'PATCH', '/clients/a', { tokens => 12 });
        $codes = $ask->();
        push @wrong, "$round filled: $codes" if $codes =~ /429/;

        $codes = $ask->();
        push @wrong, "$round used up: $codes" if $codes =~ /204/;

        api($g, 'PUT', '/clients/a', limits(5, 1000));
        $ask->();

        my $r = api($g, 'PUT', '/clients/a', limits(1000, 0.0001));
        push @wrong, "$round cut: $r->{body}" if $r->{json}{tokens} > 5;
    }

    is("@wrong", '', '40 rounds of changes');
};


subtest 'of those who create the same client at once, one succeeds' => sub {
    my $g = gateway(config(), workers => 2);

    for my $id (1 .. 20) {
        my $l = load($g, '/clients', method => 'POST', requests => 16,
                     connections => 16,
                     headers => { 'Content-Type' => 'application/json' },
                     body => $json->encode(client_of("id$id", 5, 5)));

        is_deeply($l->{codes}, { 201 => 1, 409 => 15 }, "client $id");
    }
};


subtest 'as many as an array may have, in a file, while others write' => sub {
    my $g = gateway(config(), workers => 2);

    my @many = map { client_of("many$_", 1 + $_ % 100, 1) } 1 .. 1000;
    my $text = $json->encode(\@many);

    my $bulk = client($g);
    $bulk->send("POST /clients HTTP/1.1\r\nHost: a\r\n"
                . "Content-Type: application/json\r\nContent-Length: "
                . length($text) . "\r\n\r\n$text");

    is(api($g, 'PUT', "/clients/other$_", limits(7, 7))->{code}, 201,
       "another write, $_") for 1 .. 5;

    my $r = $bulk->response(timeout => 20);
    is($r->{body}, qq({"created":1000,"updated":0}\n), 'all are created');

    my $all = everybody($g);
    is(keys %$all, 1005, 'all are there');
    is_deeply([grep { $all->{"many$_"}{capacity} != 1 + $_ % 100 }
               1 .. 1000], [], 'with their limits');

    $many[$_]{capacity} = 500 for 0 .. $#many;
    $many[-1] = client_of('one more', 500, 1);

    $r = api($g, 'POST', '/clients', \@many);
    is($r->{body}, qq({"created":1,"updated":999}\n), 'all are updated');
    is(api($g, 'GET', '/clients/many999')->{json}{capacity}, 500,
       'with the new limits');

    $_->{capacity} = 9 for @many;

    $r = api($g, 'POST', '/clients', [@many[0 .. 998], client_of('x', 0, 1)]);
    is($r->{code}, 400, 'the last of so many is wrong');
    like($r->{json}{message}, qr/^\[999\]: capacity is 0/, 'it says so');

    $r = api($g, 'POST', '/clients', [@many, client_of('x', 9, 1)]);
    is($r->{code}, 400, 'there is one more than there may be');
    like($r->{json}{message},
         qr/^\[1000\]: .* an array has at most 1000 clients/, 'it says so');

    is(api($g, 'GET', '/clients/many1')->{json}{capacity}, 500,
       'and nothing is changed');
};


subtest 'no room for all of them: none is there' => sub {
    my $g = gateway(config(size => '256k'), workers => 2);
    my $room = 0;

    $room++ while api($g, 'PUT', "/clients/c$room", limits(5, 5))->{code}
                  == 201;

    cmp_ok($room, '>', 100, 'clients until the zone is full');
    is(api($g, 'PUT', '/clients/c0', limits(6, 6))->{code}, 200,
       'those that are there can still be changed');

    is(api($g, 'DELETE', "/clients/c$_")->{code}, 204, "remove $_")
        for 0 .. 9;

    my $r = api($g, 'POST', '/clients',
                [(map { client_of("c$_", 9, 9) } 0 .. 11),
                 client_of('new', 9, 9)]);
    is($r->{code}, 503, 'as many as there is room for, and one more');
    is(api($g, 'GET', '/clients/c11')->{json}{capacity}, 5,
       'nobody is changed');
    is(keys %{ everybody($g) }, $room - 10, 'nobody is added');

    $r = api($g, 'POST', '/clients', [map { client_of("c$_", 9, 9) } 0 .. 9,
                                      11]);
    is($r->{body}, qq({"created":10,"updated":1}\n), 'ten fit');
};


subtest 'a list misses nobody while others come and go' => sub {
    my $g = gateway(config(), workers => 2);

    api($g, 'POST', '/clients', [map { client_of("stay$_", 1, 1) }
                                 1 .. 300]);

    my (%seen, $cursor, $n);

    do {
        my $r = api($g, 'GET', '/clients?limit=7'
                               . ($cursor ? "&cursor=$cursor" : ''));
        $seen{ $_->{client_id} }++ for @{ $r->{json}{clients} };
        $cursor = $r->{json}{next};

        api($g, 'PUT', '/clients/come' . ++$n, limits(1, 1));
        api($g, 'DELETE', '/clients/come' . ($n - 3));
    } while (defined $cursor);

    is_deeply([grep { ($seen{"stay$_"} // 0) != 1 } 1 .. 300], [],
              'everybody who stays is seen once');
};


subtest 'reloads keep clients, whatever the size of the zone' => sub {
    my $g = gateway(config(size => '1m'), workers => 2);

    api($g, 'POST', '/clients', [map { client_of("c$_" . 'x' x $_, 10, 0.001) }
                                 1 .. 150]);
    api($g, 'PATCH', '/clients/c7xxxxxxx', { tokens => 4 });

    my $before = everybody($g);
    is(keys %$before, 150, 'clients');

    for my $size ('1m', '4m', '512k', '1m') {
        ok($g->reload(config(size => $size)), "reloaded with $size");

        my $after = everybody($g);
        is_deeply([sort keys %$after], [sort keys %$before], 'the same ids');
        is_deeply([grep { $after->{$_}{capacity} != 10
                          || $after->{$_}{rate_per_sec} != 0.001 }
                   keys %$after], [], 'the same limits');
        cmp_ok($after->{c7xxxxxxx}{tokens}, '<', 5, 'the same tokens');
        is(api($g, 'PUT', '/clients/c7xxxxxxx', limits(10, 0.001))->{code},
           200, 'still known');
    }

    $g->mark;
    ok($g->reload(config(size => '32k')), 'reloaded with too little room');
    like($g->wait_log(qr/changed its size/),
         qr/\[error\].* (\d+) clients kept, [1-9]\d* lost/, 'it is logged');

    my $left = everybody($g);
    cmp_ok(keys %$left, '>', 5, 'some are left');
    is_deeply([grep { !$before->{$_} } keys %$left], [], 'and nobody else');
};


subtest 'a reload that fails and "nginx -t" change nothing' => sub {
    my $g = gateway(config(), workers => 2);

    api($g, 'PUT', '/clients/a', limits(5, 0.001));

    is(($g->test)[0], 0, 'the configuration is fine');
    ok(!$g->reload(config() . 'nonsense;'), 'another one is not');
    is(api($g, 'GET', '/clients/a')->{json}{tokens}, 5, 'nothing is changed');
};


subtest 'killed workers lose no write that was answered' => sub {
    my $g = gateway(config(), workers => 2);

    my (%capacity, @wrong);
    my $kills = 0;
    my $end = time + 3;

    for (my $n = 0; time < $end; $n++) {
        my $id = 'c' . $n % 50;

        if ($n % 5 == 4) {
            my $r = api($g, 'DELETE', "/clients/$id");
            delete $capacity{$id} if $r->{code} =~ /^(?:204|404)$/;
            $capacity{$id} = undef if !$r->{code} && exists $capacity{$id};

        } else {
            my $r = api($g, 'PUT', "/clients/$id", limits(1 + $n, 1));
            $capacity{$id} = $r->{code} =~ /^20[01]$/ ? 1 + $n : undef;
        }

        if ($n % 100 == 99) {
            my @workers = $g->workers;
            kill('KILL', $workers[0]) if @workers && ++$kills;
            $g->wait_workers(2);
        }
    }

    my $all = everybody($g);

    for my $id (keys %capacity) {
        next if !defined $capacity{$id};
        my $is = $all->{$id} ? $all->{$id}{capacity} : 'missing';
        push @wrong, "$id: $is, not $capacity{$id}" if $is ne $capacity{$id};
    }

    for my $id (keys %$all) {
        push @wrong, "$id was removed" if !exists $capacity{$id};
    }

    cmp_ok($kills, '>=', 2, 'workers were killed');
    is("@wrong", '', 'what was answered is there');
    is(api($g, 'PUT', '/clients/after', limits(1, 1))->{code}, 201,
       'and it goes on');
};


subtest 'a client that goes away leaves all of its write or nothing' => sub {
    my $g = gateway(config());

    my $text = $json->encode([map { client_of("m$_", 5, 5) } 1 .. 1000]);
    my $head = "POST /clients HTTP/1.1\r\nHost: a\r\n"
               . "Content-Type: application/json\r\nContent-Length: "
               . length($text) . "\r\n\r\n";

    my $c = client($g);
    $c->send($head . substr($text, 0, 30_000));
    $c->close;

    $c = client($g);
    $c->send($head . $text);
    $c->close;

    ok(wait_for(sub { keys %{ everybody($g) } == 1000 }, 20),
       'all of what came whole');
    is(api($g, 'GET', '/clients/m1000')->{code}, 200, 'the last is there');
};


subtest 'a graceful stop waits for a write that is under way' => sub {
    my $g = gateway(config());

    my $text = $json->encode([map { client_of("m$_", 5, 5) } 1 .. 1000]);
    my $c = client($g);

    $c->send("POST /clients HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             . "Content-Type: application/json\r\nContent-Length: "
             . length($text) . "\r\n\r\n$text");

    is($g->quit, 0, 'nginx stops');
    is($c->response(timeout => 20)->{body}, qq({"created":1000,"updated":0}\n),
       'the answer came before');
};


subtest 'bodies in chunks, in pieces, and several requests at once' => sub {
    my $g = gateway(config());

    my $text = $json->encode(client_of('chunks', 5, 5));
    my $head = "Host: a\r\nContent-Type: application/json\r\n";
    my $c = client($g);

    $c->send("POST /clients HTTP/1.1\r\n${head}"
             . "Transfer-Encoding: chunked\r\n\r\n");
    $c->send(sprintf("%x\r\n%s\r\n", length, $_)) for split //, $text;
    $c->send("0\r\n\r\n");
    is($c->response->{code}, 201, 'in chunks of a byte');

    $text = $json->encode(client_of('pieces', 5, 5));
    $c->send("POST /clients HTTP/1.1\r\n${head}Content-Length: "
             . length($text) . "\r\n\r\n");
    $c->send($_) for split //, $text;
    is($c->response->{code}, 201, 'byte by byte');

    my $put = '{"capacity":9,"rate_per_sec":1}';
    $c->send("PUT /clients/p HTTP/1.1\r\n${head}Content-Length: "
             . length($put) . "\r\n\r\n$put"
             . "GET /clients/p HTTP/1.1\r\nHost: a\r\n\r\n"
             . "DELETE /clients/p HTTP/1.1\r\nHost: a\r\n\r\n"
             . "GET /clients/p HTTP/1.1\r\nHost: a\r\n\r\n");
    is(join(' ', map { $c->response->{code} } 1 .. 4), '201 200 204 404',
       'one after the other');

    $c->send("POST /clients/p HTTP/1.1\r\n${head}Content-Length: 20\r\n"
             . "Expect: 100-continue\r\n\r\n");
    is($c->response->{code}, 405, 'a body that nobody waits for');
};


subtest 'without a master process' => sub {
    my $g = gateway(config(), master => 0);

    is(api($g, 'PUT', '/clients/a', limits(5, 0.001))->{code}, 201,
       'written');
    is(api($g, 'GET', '/clients/a')->{json}{capacity}, 5, 'and read');
};

subtest 'a hash in a log leads to its client' => sub {
    my $g = gateway(config());

    api($g, 'PUT', "/clients/c$_", limits(5, 0.001)) for 1 .. 200;

    for my $id (qw(c1 c77 c200)) {
        my $hash = request($g, 'GET', '/',
                           headers => { 'X-API-Key' => $id })->{headers}{'x-hash'};

        is(api($g, 'GET', "/clients?hash=$hash")->{json}{client_id}, $id,
           "that of $id");
        is_deeply([sort keys %{ api($g, 'GET', '/clients?hash=' . uc $hash)->{json} }],
                  [sort keys %{ api($g, 'GET', "/clients/$id")->{json} }],
                  'shown as by its id');
    }

    my $hash = request($g, 'GET', '/',
                       headers => { 'X-API-Key' => 'no' })->{headers}{'x-hash'};
    is(api($g, 'GET', "/clients?hash=$hash")->{code}, 404,
       'that of an unregistered one does not');
};


# Tokens of who is not registered, whatever limits the zone and keeps clients.

sub refilled
{
    my ($title, %o) = @_;

    subtest "the bucket of one who is not registered, $title" => sub {
        my $g = gateway(config(%o), workers => 2);
        my $admitted = sub {
            my ($key, $n) = @_;
            return grep { get($g, '/', headers => { 'X-API-Key' => $key })
                              ->{code} == 204 } 1 .. $n;
        };
        my ($r, $n);

        ok(wait_for(sub { api($g, 'PATCH', '/clients/a', { tokens => 1 })
                              ->{code} == 404 }),
           'one without a bucket is not there');
        is(api($g, 'DELETE', '/clients/a')->{code}, 404, 'nor removed');

        $n = $admitted->('a', 4);
        is($n, 3, 'a bucket is drained');

        $r = api($g, 'PATCH', '/clients/a', { tokens => 2 });
        is($r->{code}, 200, 'its tokens are set');
        is(int($r->{json}{tokens}), 2, 'and shown');
        ok(!$r->{json}{registered}, 'of one who is not registered');
        $n = $admitted->('a', 4);
        is($n, 2, 'that many are admitted');

        is(api($g, 'PATCH', '/clients/a', { tokens => 4 })->{code}, 400,
           'more than it holds is refused');
        is(api($g, 'DELETE', '/clients/a')->{code}, 204, 'it is removed');
        is(api($g, 'GET', '/clients/a')->{code}, 404, 'and not there');
        $n = $admitted->('a', 4);
        is($n, 3, 'it is full again, and no more');
        is_deeply(everybody($g), {}, 'nobody was registered');

        $r = api($g, 'PUT', '/clients/b', { blocked => JSON::PP::false });
        is($r->{code}, 201, 'a client is registered');
        $n = $admitted->('b', 4);
        is($n, 3, 'and has used up its tokens');
        is(api($g, 'DELETE', '/clients/b')->{code}, 204, 'it is removed');
        $n = $admitted->('b', 1);
        is($n, 0, 'and keeps what it has');
        is(api($g, 'DELETE', '/clients/b')->{code}, 204,
           'until its bucket is removed as well');
        $n = $admitted->('b', 4);
        is($n, 3, 'which is full again then');
    };
}

my $redis = redis();

refilled('of a rate');
refilled('of a quota', limit => 'quota=3/month');
refilled('with SQLite', store => 'sqlite:%%DIR%%/store/c.db');
refilled('with Redis', store => $redis->url . ' timeout=5s');


subtest 'the bucket of a plan that a request brings along' => sub {
    my $g = gateway(config(), workers => 2);
    my $admitted = sub {
        return scalar grep { get($g, '/planned',
                                 headers => { 'X-API-Key' => 'a',
                                              'X-Plan' => 'gold' })
                                 ->{code} == 204 } 1 .. $_[0];
    };

    is(api($g, 'PUT', '/plans/gold', limits(6, 0.001))->{code}, 201,
       'a plan');
    is($admitted->(7), 6, 'is the limit of a client');

    my $r = api($g, 'PATCH', '/clients/a', { tokens => 6.5 });
    is($r->{code}, 400, 'tokens are not above its capacity');
    like($r->{body}, qr/0 to the capacity, here 6"/, 'which is said');

    $r = api($g, 'PATCH', '/clients/a', { tokens => 5 });
    is($r->{code}, 200, 'but may be above that of the zone');
    is($r->{json}{plan}, 'gold', 'the plan is shown');
    is($admitted->(6), 5, 'they are there');

    is(api($g, 'DELETE', '/clients/a')->{code}, 204, 'the bucket is removed');
    is($admitted->(7), 6, 'and full again');
};


subtest 'a bucket is filled while its client asks' => sub {
    my $g = gateway(config(limit => 'rate=1r/h capacity=10'), workers => 2);
    my ($admitted, $removed) = (0, 0);

    load($g, '/', connections => 8, seconds => 2,
         headers => { 'X-API-Key' => 'a' },
         each => sub {
             $admitted += $_[0]{code} == 204;
             $removed += api($g, 'DELETE', '/clients/a')->{code} == 204
                 if $removed < 20 && $_[0]{code} == 429;
         });

    cmp_ok($removed, '>=', 5, 'it was, many times');
    cmp_ok($admitted, '<=', 10 * (1 + $removed), 'each time once');
    cmp_ok($admitted, '>', 10, 'and so requests are admitted again');
};

done_testing();
