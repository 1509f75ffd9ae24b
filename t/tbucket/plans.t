# Plans: limits that many clients share, changed for all of them at once; who
# is blocked, who is unlimited; the plan that a request brings along.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);


sub config
{
    my (%o) = @_;

    my $size  = $o{size}  // '16m';
    my $limit = $o{limit} // 'rate=1r/h capacity=3';
    my $store = $o{store} ? "tbucket_store $o{store};" : '';

    return <<"END";
    $store
    tbucket_zone \$http_x_api_key zone=z:$size $limit;
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 20m;
        keepalive_requests 1000000;
        location / {
            tbucket zone=z plan=\$http_x_plan;
            add_header X-Plan \$tbucket_plan always;
            try_files /none =204;
        }
        location /clients { tbucket_api zone=z write=on; }
        location /plans { tbucket_api zone=z plans write=on; }
        location /read { tbucket_api zone=z plans; }
    }
END
}


sub limits { return { capacity => $_[0], rate_per_sec => $_[1] } }

sub ask
{
    my ($g, $key, $plan) = @_;

    return get($g, '/', headers => { 'X-API-Key' => $key,
                                     defined $plan ? ('X-Plan' => $plan)
                                                   : () });
}

sub admitted
{
    my ($g, $key, $n, $plan) = @_;

    return scalar grep { ask($g, $key, $plan)->{code} == 204 } 1 .. $n;
}


subtest 'the resource' => sub {
    my $g = gateway(config(), workers => 2);

    my $r = api($g, 'PUT', '/plans/gold', limits(100, 10));
    is($r->{code}, 201, 'a plan is made');
    is($r->{headers}{location}, '/plans/gold', 'it says where it is');
    is($r->{body}, qq({"plan":"gold","capacity":100,"rate_per_sec":10}\n),
       'and what it is');
    is(api($g, 'PUT', '/plans/gold', $r->{json})->{code}, 200,
       'what was shown is taken back');
    is(api($g, 'GET', '/plans/gold')->{body}, $r->{body}, 'as it was');

    $r = api($g, 'PATCH', '/plans/gold', { rate_per_sec => 0.5 });
    is_deeply([$r->{code}, $r->{json}],
              [200, { plan => 'gold', %{ limits(100, 0.5) } }],
              'a part of it is changed');

    is(api($g, 'PUT', '/plans/%22a%5Cb~', limits(1, 1))->{code}, 201,
       'a name of visible characters');
    is(api($g, 'PUT', '/plans?plan=..', limits(1, 1))->{code}, 201,
       'one that a path would change is an argument');
    is(api($g, 'GET', '/plans?plan=..')->{json}{plan}, '..', 'likewise');

    is_deeply([sort map { $_->{plan} }
               @{ api($g, 'GET', '/plans')->{json}{plans} }],
              ['"a\\b~', '..', 'gold'], 'all of them are listed');

    my (@names, $next);
    do {
        $r = api($g, 'GET', '/plans?limit=2'
                            . ($next ? "&cursor=$next" : ''));
        push @names, map { $_->{plan} } @{ $r->{json}{plans} };
        $next = $r->{json}{next};
    } while ($next);
    is(@names, 3, 'in pages');

    for my $case (
        ['GET', '/plans/none', undef, 404, 'there is no plan "none"'],
        ['PATCH', '/plans/none', limits(1, 1), 404, 'there is no plan "none"'],
        ['DELETE', '/plans/none', undef, 404, 'there is no plan "none"'],
        ['PUT', '/plans/a%20b', limits(1, 1), 400, 'plan must be 1 to 64'],
        ['PUT', '/plans/' . 'x' x 65, limits(1, 1), 400, 'plan must be 1 to 64'],
        ['PUT', '/plans/p', { capacity => 1 }, 400, 'rate_per_sec is missing'],
        ['PUT', '/plans/p', { %{ limits(1, 1) }, plan => 'q' }, 400,
         'plan is "q", must be that of the URI, "p"'],
        ['PUT', '/plans/p', { %{ limits(1, 1) }, blocked => JSON::PP::true },
         400, 'unknown member "blocked"'],
        ['PUT', '/plans/p', limits(0, 1), 400,
         'capacity is 0, must be an integer from 1 to 1000000'],
        ['PATCH', '/plans/gold', {}, 400, 'nothing to change'],
        ['PUT', '/plans/p', '[]', 400, 'must be a JSON object'],
        ['POST', '/plans', { plan => 'p', %{ limits(1, 1) } }, 405, ''],
        ['PUT', '/read/p', limits(1, 1), 405, ''],
        ['GET', '/plans?limit=0', undef, 400, 'limit is "0"'],
        ['GET', '/plans?page=1', undef, 400, 'argument "page"'],
        ['GET', '/plans/a?plan=b', undef, 400, 'given twice'])
    {
        my ($method, $uri, $body, $code, $message) = @$case;
        $r = api($g, $method, $uri, $body);
        is($r->{code}, $code, "$method $uri");
        like($r->{json}{message}, qr/\Q$message/, 'which it says')
            if $message;
    }

    api($g, 'PUT', '/clients/u', { plan => 'gold' });
    $r = api($g, 'DELETE', '/plans/gold');
    is($r->{code}, 409, 'one that a client has stays');
    like($r->{json}{message}, qr/plan "gold" is in use/, 'which it says');
    api($g, 'DELETE', '/clients/u');
    is(api($g, 'DELETE', '/plans/gold')->{code}, 204, 'else it goes');
    is(api($g, 'GET', '/plans/gold')->{code}, 404, 'for good');
};

subtest 'clients of a plan' => sub {
    my $g = gateway(config(), workers => 2);

    my $r = api($g, 'POST', '/clients', { client_id => 'a', plan => 'gold' });
    is_deeply([$r->{code}, $r->{json}],
              [201, { client_id => 'a', plan => 'gold', capacity => 3,
                      rate_per_sec => 0.000278, tokens => 3,
                      registered => JSON::PP::true }],
              'of a plan that nobody has: the limits of the zone');
    is(admitted($g, 'a', 10), 3, 'which are in force');

    api($g, 'PUT', '/plans/gold', limits(5, 0.001));
    is(api($g, 'GET', '/clients/a')->{json}{capacity}, 5, 'then the plan\'s');

    api($g, 'PUT', "/clients/b$_", { plan => 'gold' }) for 1 .. 20;
    is(admitted($g, 'b1', 10), 5, 'for each of its own');
    is(ask($g, 'b2')->{headers}{'x-plan'}, 'gold', '$tbucket_plan');

    api($g, 'PATCH', '/plans/gold', { capacity => 8 });
    is(admitted($g, 'b3', 20), 5, 'a change leaves what is in a bucket');
    api($g, 'PATCH', '/plans/gold', { rate_per_sec => 1000 });
    is((grep { $_ } map { ask($g, "b$_")->{headers}{'ratelimit-policy'}
                          =~ /q=8;/ } 1 .. 20), 20,
       'and is in force for all at once');
    sleep(0.1);
    is(api($g, 'GET', '/clients/b1')->{json}{tokens}, 8, 'also its rate');

    $r = api($g, 'GET', '/clients/b1');
    is(api($g, 'PUT', '/clients/b1', $r->{body})->{code}, 200,
       'what was shown is taken back');
    api($g, 'PATCH', '/plans/gold', { capacity => 9 });
    is(api($g, 'GET', '/clients/b1')->{json}{capacity}, 9,
       'as a client of the plan');

    $r = api($g, 'PATCH', '/clients/b1', { capacity => 2 });
    is($r->{code}, 400, 'no part of the plan is the client\'s own');
    like($r->{json}{message}, qr/rate_per_sec is missing/, 'which it says');
    is(api($g, 'PATCH', '/clients/b1', limits(2, 0.001))->{json}{plan}, undef,
       'but all of it may be');
    is(api($g, 'PATCH', '/clients/b1', { plan => 'gold' })->{json}{capacity},
       9, 'and back');

    $r = api($g, 'POST', '/clients', { client_id => 'x', plan => 'gold',
                                       %{ limits(1, 1) } });
    is($r->{code}, 400, 'limits do not go with a plan');
    is(api($g, 'POST', '/clients',
           [map { { client_id => "m$_", plan => 'silver' } } 1 .. 1000])
       ->{code}, 200, 'a thousand clients of a new plan at once');
    is(api($g, 'DELETE', '/plans/silver')->{code}, 404, 'that is not there');

    $g->reload;
    is(api($g, 'GET', '/clients/m1000')->{json}{plan}, 'silver',
       'a reload keeps them');
    ok($g->reload(config(size => '4m')), 'a zone of another size');
    $r = api($g, 'GET', '/clients/b2');
    is_deeply([@{ $r->{json} }{qw(plan capacity)}], ['gold', 9],
              'has plans and clients');
    is(api($g, 'DELETE', '/plans/gold')->{code}, 409, 'and counts them');
    api($g, 'DELETE', "/clients/$_") for 'a', map { "b$_" } 1 .. 20;
    is(api($g, 'DELETE', '/plans/gold')->{code}, 204, 'one by one');
};

subtest 'blocked and unlimited' => sub {
    my $g = gateway(config(), workers => 2);

    my $r = api($g, 'PUT', '/clients/a', { %{ limits(5, 0.001) },
                                           blocked => JSON::PP::true });
    is($r->{json}{blocked}, JSON::PP::true, 'blocked is shown');
    is($r->{json}{capacity}, 5, 'beside limits');
    is(ask($g, 'a')->{code}, 403, 'and means 403');
    is(api($g, 'PUT', '/clients/a', $r->{body})->{code}, 200,
       'what was shown is taken back');
    is(ask($g, 'a')->{code}, 403, 'as it was');
    $r = api($g, 'PATCH', '/clients/a', { blocked => JSON::PP::false });
    is($r->{json}{blocked}, undef, 'no longer');
    is(admitted($g, 'a', 10), 5, 'the limits are there as before');

    is(api($g, 'PATCH', '/clients/a', { unlimited => JSON::PP::true })
       ->{json}{unlimited}, JSON::PP::true, 'unlimited is shown');
    is(admitted($g, 'a', 50), 50, 'and means it');
    api($g, 'PATCH', '/clients/a', { blocked => JSON::PP::true });
    is(ask($g, 'a')->{code}, 403, 'who is both is blocked');

    $r = api($g, 'POST', '/clients', { client_id => 'b',
                                       unlimited => JSON::PP::true });
    is($r->{code}, 201, 'in place of limits');
    is(admitted($g, 'b', 20), 20, 'likewise');
    $r = api($g, 'PATCH', '/clients/b', { unlimited => JSON::PP::false });
    is($r->{json}{capacity}, 3, 'without any, those of the zone');
    is(admitted($g, 'b', 10), 3, 'are in force');
};

subtest 'the plan of a request' => sub {
    my $g = gateway(config(), workers => 2);

    api($g, 'PUT', '/plans/gold', limits(10, 0.001));
    api($g, 'PUT', '/plans/iron', limits(1, 0.001));
    api($g, 'PUT', '/clients/own', limits(2, 0.001));
    api($g, 'PUT', '/clients/planned', { plan => 'iron' });
    api($g, 'PUT', '/clients/bare', { blocked => JSON::PP::false });

    is(admitted($g, 'a', 20, 'gold'), 10, 'limits who is not registered');
    is(ask($g, 'a', 'gold')->{headers}{'x-plan'}, 'gold', '$tbucket_plan');
    is(admitted($g, 'b', 20, 'none'), 3, 'not if nobody has it');
    is(admitted($g, 'c', 20, ''), 3, 'or without');
    is(admitted($g, 'c', 20), 0, 'whose bucket is the same');
    is(admitted($g, 'own', 20, 'gold'), 2, 'nor who has limits of its own');
    is(admitted($g, 'planned', 20, 'gold'), 1, 'or a plan');
    is(admitted($g, 'bare', 20, 'gold'), 3, 'a bucket that is there stays');
    is(ask($g, 'bare', 'gold')->{headers}{'x-plan'}, 'gold',
       'but who has neither has the plan');
    is(api($g, 'GET', '/clients/bare')->{json}{capacity}, 10, 'and is so shown');

    sleep(1.5);
    is(ask($g, 'a', 'gold')->{code}, 429, 'nothing is refilled by the zone');
    is(api($g, 'GET', '/clients/a')->{json}{plan}, 'gold', 'the API shows it');

    is(admitted($g, 'd', 4, 'gold'), 4, 'one that has some left');
    ask($g, 'd', 'iron');
    is(admitted($g, 'd', 20, 'gold'), 0, 'is cut to another plan');
    api($g, 'PATCH', '/plans/gold', { rate_per_sec => 1000 });
    ask($g, 'a', 'gold');
    sleep(0.1);
    is(admitted($g, 'a', 5, 'gold'), 5, 'a change is in force at once');
    is(api($g, 'DELETE', '/plans/gold')->{code}, 204,
       'nobody has it that is registered');
    ask($g, 'e', 'gold');
    is(ask($g, 'e', 'gold')->{headers}{'x-plan'}, undef, 'it is unknown then');
};

subtest 'quotas and places' => sub {
    my $g = gateway(config(limit => 'quota=4/month'));

    my $r = api($g, 'PUT', '/plans/gold', { quota => 6 });
    is($r->{body}, qq({"plan":"gold","quota":6}\n), 'a plan of quotas');
    api($g, 'PUT', '/clients/a', { plan => 'gold' });
    api($g, 'PUT', '/clients/b', { quota => 5 });
    is(admitted($g, 'a', 10), 6, 'limits its clients');
    is(admitted($g, 'b', 10), 5, 'a client has its own');
    is(admitted($g, 'c', 10), 4, 'others that of the zone');
    $r = api($g, 'GET', '/clients/a');
    is_deeply($r->{json}, { client_id => 'a', plan => 'gold', quota => 6,
                            tokens => 0, registered => JSON::PP::true },
              'as it is shown');
    is(api($g, 'PUT', '/clients/a', $r->{body})->{code}, 200, 'and taken back');
    $r = api($g, 'GET', '/clients/b');
    is(api($g, 'PUT', '/clients/b', $r->{body})->{code}, 200, 'both');
    is(api($g, 'PUT', '/clients/a', limits(1, 1))->{code}, 400,
       'other limits are none here');

    $g = gateway(config(limit => 'inflight=4'));
    api($g, 'PUT', '/plans/gold', { inflight => 6 });
    $r = api($g, 'PUT', '/clients/a', { plan => 'gold' });
    is_deeply($r->{json}, { client_id => 'a', plan => 'gold', inflight => 6,
                            used => 0, tokens => 6,
                            registered => JSON::PP::true },
              'places of a plan');
    is(api($g, 'PUT', '/clients/a', $r->{body})->{code}, 200, 'taken back');
    $r = api($g, 'PUT', '/clients/b', { inflight => 2 });
    is($r->{json}{inflight}, 2, 'and of a client');
    is(api($g, 'PUT', '/clients/b', $r->{body})->{code}, 200, 'taken back');
    is(ask($g, 'a')->{code}, 204, 'they are in force');
};

subtest 'units' => sub {
    my $g = gateway(config(limit => 'rate=1000r/h capacity=3000 unit=1000'));

    my $r = api($g, 'PUT', '/clients/a', limits(2_000_000, 1000));
    is_deeply($r->{json}, { client_id => 'a', capacity => 2_000_000,
                            rate_per_sec => 1000, tokens => 2_000_000,
                            registered => JSON::PP::true },
              'single units are read and shown');
    is(api($g, 'PUT', '/clients/a', $r->{body})->{code}, 200, 'taken back');
    $r = api($g, 'PUT', '/clients/a', limits(1500, 1));
    like($r->{json}{message}, qr/capacity is 1500, must be a multiple of 1000/,
         'what is none is refused');
    is(api($g, 'PATCH', '/clients/a', { tokens => 1500.5 })->{json}{tokens},
       1500.5, 'tokens are single, too');
};

subtest 'a thousand plans' => sub {
    my $g = gateway(config());
    is((grep { api($g, 'PUT', "/plans/p$_", limits(1 + $_, 1))->{code} == 201 }
        1 .. 1000), 1000, 'can be made');
    my $r = api($g, 'PUT', '/plans/one-more', limits(1, 1));
    is($r->{code}, 503, 'no more');
    like($r->{json}{message}, qr/there are 1000, as many as a zone may have/,
         'which it says');
    is(scalar @{ api($g, 'GET', '/plans?limit=1000')->{json}{plans} }, 1000,
       'all are listed');
    is(api($g, 'DELETE', '/plans/p17')->{code}, 204, 'one goes');
    is(api($g, 'PUT', '/plans/one-more', limits(1, 1))->{code}, 201,
       'and makes room');
    is(api($g, 'GET', '/plans/p18')->{json}{capacity}, 19, 'others stay');
};

subtest 'workers that are killed' => sub {
    my $g = gateway(config(), workers => 2);
    api($g, 'PUT', "/plans/p$_", limits(10, 1)) for 0, 1;

    my $end = time() + 6;
    my $n = 0;
    while (time() < $end) {
        my @w = $g->workers;

        # at times there is only one, and none is the process group's number

        kill('KILL', $w[rand @w]) if $n++ % 10 == 0 && @w;
        eval { api($g, 'PUT', '/clients/c' . $n % 7, { plan => 'p' . $n % 2 }) };
    }
    ok(wait_for(sub { api($g, 'GET', '/plans')->{code} == 200 }),
       'the API is there');
    for my $i (0 .. 6) {
        wait_for(sub { my $r = api($g, 'DELETE', "/clients/c$i");
                       $r->{code} == 204 || $r->{code} == 404 });
    }
    is(api($g, 'DELETE', "/plans/p$_")->{code}, 204,
       "nobody is counted that is not there, $n writes") for 0, 1;
};


subtest 'no plan in between gives tokens' => sub {
    my $g = gateway(config(limit => 'rate=10r/s capacity=3'));
    api($g, 'PUT', '/plans/gold', limits(20, 0.001));
    api($g, 'PUT', '/plans/none', limits(1, 1000));

    is(admitted($g, 'a', 25, 'gold'), 20, 'a plan is used up');
    ok(wait_for(sub { ask($g, 'a')->{code} == 204 }), 'so does who has none');
    ok(wait_for(sub {
        my $c = api($g, 'GET', '/clients/a')->{json};
        return ($c->{plan} // '') eq 'gold' && $c->{tokens};
    }), 'a bucket that is full without it is not as new');
    is(admitted($g, 'a', 9, 'gold'), 3, 'with the plan again');

    is(admitted($g, 'a', 5, 'none') > 0, 1, 'two in between');
    ask($g, 'a');
    ok(wait_for(sub {
        my $c = api($g, 'GET', '/clients/a')->{json};
        return ($c->{plan} // '') eq 'gold' && $c->{tokens};
    }), 'do not do it either');
    is(admitted($g, 'a', 9, 'gold'), 3, 'the plan once more');

    is(admitted($g, 'b', 2), 2, 'the zone itself has more than a plan');
    ask($g, 'b', 'none');
    ok(wait_for(sub { api($g, 'GET', '/clients/b')->{code} == 404 }),
       'which a bucket goes back to, and is full of');
};


subtest 'a quota that changes in its window' => sub {
    for my $store ('', 'sqlite:%%DIR%%/store/c.db interval=100ms', 'redis') {
        my $r = $store eq 'redis' ? redis() : undef;
        my $g = gateway(config(limit => 'quota=5/month', store => $r
                               ? $r->url . ' interval=100ms node=a' : $store));
        wait_for(sub { api($g, 'PUT', '/plans/gold',
                           { quota => 10 })->{code} == 201 }) or die;

        my $tokens = sub {
            return api($g, 'GET', "/clients/$_[0]")->{json}{tokens};
        };

        my $name = $store =~ s/:.*//r || 'no store';

        is(admitted($g, 'a', 7), 5, "$name: a month's quota");
        is(api($g, 'PUT', '/clients/a', { plan => 'gold' })->{json}{tokens},
           5, 'a plan with more gives the difference');
        is(admitted($g, 'a', 7), 5, 'at once');
        is(api($g, 'PATCH', '/plans/gold', { quota => 12 })->{code}, 200,
           'a plan that changes');
        is(admitted($g, 'a', 7), 2, 'does so for its members');
        api($g, 'PATCH', '/plans/gold', { quota => 3 });
        is($tokens->('a'), -9, 'one with less has been used already');
        is(admitted($g, 'a', 1), 0, 'by all of it');
        is(api($g, 'PATCH', '/clients/a', { tokens => 2 })->{json}{tokens},
           2, 'tokens that are set are those that are left');
        api($g, 'PATCH', '/plans/gold', { quota => 12 });
        is($tokens->('a'), 11, 'of what there is then');
        is(admitted($g, 'a', 13), 11, 'no more, no less');

        is(api($g, 'PUT', '/clients/b', { quota => 1000 })->{code}, 201,
           'a client of its own');
        is(admitted($g, 'b', 4), 4, 'uses some');
        api($g, 'PATCH', '/clients/b', { quota => 10 });
        is($tokens->('b'), 6, 'of what is less then');
        api($g, 'PATCH', '/clients/b', { blocked => JSON::PP::true });
        api($g, 'PATCH', '/clients/b', { blocked => JSON::PP::false });
        is($tokens->('b'), 6, 'as it is for one that was blocked');

        # a plan that comes with requests, and goes

        is(admitted($g, 'l', 12, 'gold'), 12, 'a plan that requests bring');
        is(admitted($g, 'l', 1), 0, 'is no quota beside the own');
        sleep 2;
        is(admitted($g, 'l', 1, 'gold'), 0, 'nor a new one');
        is(admitted($g, 'm', 3, 'gold'), 3, 'another');

        next if !$store;

        sleep 0.5;
        $g->quit;
        $g->start;
        wait_for(sub { ($tokens->('a') // 12) == 0 });

        is($tokens->('a'), 0, 'after a restart, one with a plan');
        is($tokens->('b'), 6, 'one with a quota');
        is(admitted($g, 'l', 1, 'gold'), 0, 'a plan that requests bring');
        is(admitted($g, 'm', 12, 'gold'), 9, 'and what is left of it');
    }
};


subtest 'tokens of a plan that requests bring, after a restart' => sub {
    for my $store ('sqlite:%%DIR%%/store/c.db interval=100ms', 'redis') {
        my $r = $store eq 'redis' ? redis() : undef;
        my $url = $r ? $r->url . ' interval=100ms node=a' : $store;
        my $g = gateway(config(store => $url));
        my $name = $store =~ s/:.*//r;

        wait_for(sub { api($g, 'PUT', '/plans/"gold"',
                           limits(20, 0.001))->{code} == 201 }) or die;

        is(admitted($g, 'drained', 25, '"gold"'), 20, "$name: used up");
        is(admitted($g, 'half', 10, '"gold"'), 10, 'and used in part');
        is(admitted($g, 'gone', 18, '"gold"'), 18, 'and left');
        is(admitted($g, 'gone', 1), 1, 'for what the zone has');
        is(admitted($g, 'none', 2), 2, 'which another has always had');

        $g->quit;
        $g->start;
        ok(wait_for(sub { api($g, 'GET', '/clients/half')->{code} == 200 }),
           'a restart');

        is(admitted($g, 'half', 12, '"gold"'), 10, 'the rest is there');
        is(admitted($g, 'drained', 3, '"gold"'), 0, 'and nothing else');
        is(admitted($g, 'gone', 3, '"gold"'), 1, 'of one who comes back');
        is(admitted($g, 'none', 3), 1, 'and without a plan');
    }
};


subtest 'what was saved of another kind of zone' => sub {
    for my $store ('sqlite:%%DIR%%/store/c.db interval=100ms', 'redis') {
        my $r = $store eq 'redis' ? redis() : undef;
        my $url = $r ? $r->url . ' interval=100ms node=a' : $store;
        my $g = gateway(config(store => $url, limit => 'quota=5/month'));
        my $name = $store =~ s/:.*//r;

        my $next = sub {
            my ($limit) = @_;

            $g->quit;
            $g->write(config(store => $url, limit => $limit));
            $g->mark;
            $g->start;

            return $g->wait_log(qr/\b0 drained buckets restored/);
        };

        wait_for(sub { api($g, 'PUT', '/clients/x', { quota => 5 })->{code}
                       == 201 }) or die;
        is(admitted($g, 'a', 4), 4, "$name: a quota is used");
        ok($next->('rate=1r/h capacity=3'), 'it is a rate');
        is(admitted($g, 'a', 5), 3, 'which is no debt then');
        ok($next->('quota=5/month'), 'a quota again');
        is(admitted($g, 'a', 7), 5, 'of which nothing is used');
    }
};

done_testing();
