# Names in an upstream: their addresses are its servers, as they come and go.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Dns;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical;

my $SLACK = 1 * ($ENV{TEST_TIME_FACTOR} || 1);

# one port on several addresses

my $port = free_port();
my %b = map { ($_ => backend(name => $_, host => "127.0.0.$_", port => $port)) }
        2 .. 5;


sub config
{
    my ($dns, $upstream, $more) = @_;

    $more //= '';

    return <<"END";
    resolver 127.0.0.1:@{[ $dns->port ]} ipv6=off;
    resolver_timeout 2s;
    upstream u { lb round_robin; $upstream }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { proxy_pass http://u; }
        location /upstreams { lb_api write=on; }
    }
    $more
END
}


sub dns     { return Gateway::Dns->start(@_) }
sub hosts   { return { A => [ map { "127.0.0.$_" } @_ ], ttl => 1 } }
sub servers { my ($g) = @_;
              return @{ $json->decode(get($g, '/upstreams/u')->{body})
                        ->{servers} } }
sub list    { my ($g) = @_;
              return join ' ', sort map { $_->{address} =~ s/:$port$//r
                                          . "/$_->{weight}/$_->{state}"
                                          . ($_->{backup} ? '/backup' : '') }
                               servers($g) }
sub becomes { my ($g, $list) = @_;
              my $got = '';
              wait_for(sub { ($got = list($g)) eq $list }, 10);
              return $got }
sub who     { my ($g) = @_;
              return get($g, '/')->{body} =~ /"backend":"(\w+)"/ ? $1 : '-' }
sub api     { my ($g, $method, $uri, $body) = @_;
              my $r = request($g, $method, "/upstreams/u$uri",
                        defined $body
                        ? (body => $json->encode($body),
                           headers => { 'Content-Type' => 'application/json' })
                        : ());
              $r->{json} = eval { $json->decode($r->{body}) };
              return $r }
sub saved   { my ($g) = @_;
              open(my $in, '<', $g->dir . '/state/u.json') or return;
              local $/;
              return $json->decode(scalar <$in>) }


subtest 'addresses of a name are servers, and follow it' => sub {
    my $dns = dns('a.test' => hosts(2, 3));
    my $g = gateway(config($dns, "lb_resolve a.test:$port;"), workers => 2);

    is(becomes($g, '127.0.0.2/1/up 127.0.0.3/1/up'),
       '127.0.0.2/1/up 127.0.0.3/1/up', 'both are there at once');
    is(join('', sort map { who($g) } 1 .. 4), '2233', 'and share requests');
    like($g->wait_log(qr/server 127.0.0.2:\d+ in upstream "u" is added/),
         qr/is added: its name has the address, 0 requests in flight; /,
         'it is logged');

    my ($one) = servers($g);
    is($one->{name}, "a.test:$port", 'the API has the name');
    ok($one->{resolved}, 'and that it was resolved');

    $g->mark;
    my $since = time();
    $dns->set('a.test' => hosts(3, 4));
    is(becomes($g, '127.0.0.3/1/up 127.0.0.4/1/up'),
       '127.0.0.3/1/up 127.0.0.4/1/up', 'a change is followed');
    cmp_ok(time() - $since, '<', 2.5, 'within the time to live and a second');
    is(join('', sort map { who($g) } 1 .. 4), '3344', 'by all workers');
    like($g->wait_log(qr/127.0.0.2:\d+ in upstream "u" is removed/),
         qr/is removed: its name has the address no more; 2 of 2 servers left/,
         'it is logged');
    unlike($g->log, qr/127\.0\.0\.3:\d+ in upstream "u" is/,
           'who stays is not touched');
};


subtest 'an upstream of names alone starts without an answer' => sub {
    my $dns = dns();
    my ($code, $error) = check(config($dns, "lb_resolve a.test:$port;"));
    is($code, 0, 'the configuration is fine') or diag($error);

    my $g = gateway(config($dns, "lb_resolve a.test:$port;"));
    is(get($g, '/')->{code}, 502, 'requests fail');
    ok($g->wait_log(qr/lb: no live servers in upstream "u"/), 'and say why');
    like($g->wait_log(qr/lb: name a.test:\d+ of upstream/),
         qr/could not be resolved \(3: Host not found\), its servers stay; /,
         'so does the resolver');

    ok($g->reload, 'it is reloaded as well');

    $dns->set('a.test' => hosts(2));
    is(becomes($g, '127.0.0.2/1/up'), '127.0.0.2/1/up',
       'an answer that comes later counts');
    is(who($g), 2, 'requests go there');
    ok($g->wait_log(qr/name a.test:\d+ of upstream "u" is resolved again/),
       'it is logged');
};


subtest 'an answer that fails changes nothing' => sub {
    my $dns = dns('a.test' => hosts(2, 3));
    my $g = gateway(config($dns, "lb_resolve a.test:$port;"));
    my $list = becomes($g, '127.0.0.2/1/up 127.0.0.3/1/up');

    my @failures = (
        [ 'SERVFAIL' => { rcode => 2 } => qr/2: Server failure/ ],
        [ 'NXDOMAIN', undef, qr/3: Host not found/ ],
        [ 'silence'  => { silent => 1 } => qr/110: Operation timed out/ ],
        [ 'an empty answer' => { A => [] } => qr/3: Host not found/ ],
    );

    for (@failures) {
        my ($title, $zone, $reason) = @$_;

        $g->mark;
        my $before = $dns->queries('a.test', 'A');
        $dns->set('a.test' => $zone);
        like($g->wait_log(qr/could not be resolved/) // '', $reason,
             "$title is logged");
        ok(wait_for(sub { $dns->queries('a.test', 'A') >= $before + 2 }, 20),
           'it is asked again');
        is(list($g), $list, 'its servers stay');
        is(scalar(() = $g->log =~ /could not be resolved/g), 1,
           'there is one line');

        $g->mark;
        $dns->set('a.test' => hosts(2, 3));
        ok($g->wait_log(qr/is resolved again/, 20), 'and one of its return');
    }

    unlike($g->log, qr/is (added|removed)/, 'nothing came or went');
};


subtest 'no request fails while all addresses change' => sub {
    my $dns = dns('a.test' => hosts(2, 3));
    my $g = gateway(config($dns, "lb_resolve a.test:$port max_fails=0;"),
                    workers => 2);
    becomes($g, '127.0.0.2/1/up 127.0.0.3/1/up');

    my $now = 0;
    my $bad = 0;
    my $end = time() + 6;
    my %seen;
    while (time() < $end) {
        my @hosts = (int(time()) / 2) % 2 ? (4, 5) : (2, 3);
        $dns->set('a.test' => hosts(@hosts)) if $now != $hosts[0];
        $now = $hosts[0];
        my $r = load($g, '/', connections => 8, requests => 200);
        $bad += 200 - ($r->{codes}{200} // 0);
        $seen{$_->{address}} = 1 for servers($g);
    }
    is($bad, 0, 'all were answered');
    is(scalar keys %seen, 4, 'by all of the servers in turn');
};


subtest 'a request in flight is not lost with its address' => sub {
    my $dns = dns('a.test' => hosts(2));
    my $g = gateway(config($dns, "lb_resolve a.test:$port;"));
    becomes($g, '127.0.0.2/1/up');

    my $c = client($g);
    $c->send("GET /?delay=3 HTTP/1.1\r\nHost: x\r\n\r\n");
    ok(wait_for(sub { (servers($g))[0]{active} == 1 }), 'one is under way');
    $dns->set('a.test' => hosts(3));
    ok($g->wait_log(qr/127.0.0.2:\d+ in upstream "u" is draining: its name/),
       'its server drains');
    is(who($g), 3, 'others go to the new one');
    is($c->response->{code}, 200, 'it is answered');
    ok($g->wait_log(qr/127.0.0.2:\d+ in upstream "u" is removed: its name/),
       'the server is gone then');
};


subtest 'time to live and valid=' => sub {
    my $dns = dns('a.test' => { A => ['127.0.0.2'], ttl => 300 });
    my $g = gateway(config($dns, "lb_resolve a.test:$port;"));
    becomes($g, '127.0.0.2/1/up');
    my $asked = $dns->queries('a.test', 'A');
    is($asked, 1, 'it was asked for once');
    $g->quit;

    $g = gateway(config($dns, "lb_resolve a.test:$port;")
                 =~ s/ipv6=off/ipv6=off valid=1s/r);
    $asked = $dns->queries('a.test', 'A');
    $dns->set('a.test' => { A => ['127.0.0.3'], ttl => 300 });
    is(becomes($g, '127.0.0.3/1/up'), '127.0.0.3/1/up',
       'valid= of resolver takes the place of the time to live');
};


subtest 'parameters apply to each server, changes at runtime stay' => sub {
    my $dns = dns('a.test' => hosts(2, 3), 'b.test' => hosts(4));
    my $conf = config($dns, "lb_resolve a.test:$port weight=3 max_conns=7 "
                            . "max_fails=2 fail_timeout=5s; "
                            . "lb_resolve b.test:$port backup;");
    my $g = gateway($conf);
    is(becomes($g, '127.0.0.2/3/up 127.0.0.3/3/up 127.0.0.4/1/up/backup'),
       '127.0.0.2/3/up 127.0.0.3/3/up 127.0.0.4/1/up/backup', 'they do');
    my ($one, $two) = servers($g);
    is_deeply([ @$one{qw(max_conns max_fails fail_timeout)} ],
              [ 7, 2, '5s' ], 'all of them');

    is(api($g, PATCH => "/servers/$one->{id}", { weight => 9 })->{code}, 200,
       'one is changed');
    is(api($g, PATCH => "/servers/$two->{id}", { state => 'draining' })
       ->{code}, 200, 'the other one drained');
    $dns->set('a.test' => hosts(2, 3, 5));
    my $list = '127.0.0.2/9/up 127.0.0.3/3/draining 127.0.0.4/1/up/backup '
               . '127.0.0.5/3/up';
    is(becomes($g, $list), $list, 'that stays as others come');

    ok($g->reload, 'reloaded');
    is(list($g), $list, 'and over a reload');
    ok($g->reload($conf =~ s/weight=3/weight=4/r), 'with a new weight');
    is(becomes($g, $list =~ s/\d\/(up|dr)/4\/$1/gr =~ s/4(\/up\/b)/1$1/r),
       '127.0.0.2/4/up 127.0.0.3/4/draining 127.0.0.4/1/up/backup '
       . '127.0.0.5/4/up', 'what the line says anew is in force');

    is(api($g, DELETE => "/servers/$one->{id}")->{code}, 409,
       'an address cannot be deleted');
    like(api($g, DELETE => "/servers/$one->{id}")->{json}{message},
         qr/an address of a name in upstream "u", and would come back/, 'why');
    is(api($g, PATCH => "/servers/$one->{id}",
           { state => 'draining', timeout => 1 })->{code}, 409,
       'nor by a drain with an end');
    is(api($g, POST => '/servers', { address => "127.0.0.2:$port" })->{code},
       409, 'nor added once more');
};


subtest 'reload and a killed worker' => sub {
    my $dns = dns('a.test' => hosts(2, 3));
    my $conf = config($dns, "lb_resolve a.test:$port;");
    my $g = gateway($conf, workers => 2);
    becomes($g, '127.0.0.2/1/up 127.0.0.3/1/up');
    my $ids = join ' ', map { $_->{id} } servers($g);

    $dns->kill;
    ok($g->reload, 'reloaded while there is no DNS server');
    is(join('', sort map { who($g) } 1 .. 4), '2233', 'the servers are there');
    is(join(' ', map { $_->{id} } servers($g)), $ids, 'and are the same');
    $dns->start_again;

    for my $worker ($g->workers) {
        kill('KILL', $worker);
        $g->wait_workers(2);
    }
    $dns->set('a.test' => hosts(4));
    is(becomes($g, '127.0.0.4/1/up'), '127.0.0.4/1/up',
       'when each worker was killed, the next one goes on asking');

    # a record lives for 1 s, and to the end of a second

    ok($g->reload(config($dns, "lb_resolve a.test:$port; "
                               . 'lb_health_check tcp interval=500ms;')),
       'with checks');
    for my $n (2, 4) {
        my $since = time();
        $dns->set('a.test' => hosts($n));
        kill('KILL', ($g->workers)[0]);
        becomes($g, "127.0.0.$n/1/up");
        cmp_ok(time() - $since, '<', 2 + 2 * 0.5 + 2 * 0.5 * 1.1 + $SLACK,
               'the next one follows within two intervals, and the checks');
    }

    ok($g->reload(config($dns, $b{5}->server)), 'without the name');
    is(becomes($g, '127.0.0.5/1/up'), '127.0.0.5/1/up', 'its servers go');

    ok($g->reload(config($dns, "lb_resolve a.test:$port; server "
                               . "127.0.0.5:$port;")), 'and come back');
    is(becomes($g, '127.0.0.4/1/up 127.0.0.5/1/up'),
       '127.0.0.4/1/up 127.0.0.5/1/up', 'beside that of a line');
};


subtest 'who goes for a name serves until that is resolved' => sub {
    my $dns = dns('a.test' => hosts(2), 'b.test' => hosts(3));
    my $g = gateway(config($dns, $b{4}->server), workers => 2);
    is(who($g), 4, 'a line');

    $dns->kill;
    ok($g->reload(config($dns, "lb_resolve a.test:$port;")), 'becomes a name');
    is(who($g), 4, 'which nobody resolves');
    $dns->start_again;
    is(becomes($g, '127.0.0.2/1/up'), '127.0.0.2/1/up', 'its address comes');
    is(who($g), 2, 'and serves');

    $dns->kill;
    ok($g->reload(config($dns, "lb_resolve b.test:$port;")), 'another name');
    is(who($g), 2, 'which nobody resolves');
    $dns->start_again;
    is(becomes($g, '127.0.0.3/1/up'), '127.0.0.3/1/up', 'its address comes');
};


subtest 'a server line that becomes a name keeps its server' => sub {
    my $dns = dns('localhost' => { A => ['127.0.0.1'], ttl => 1 });
    my $p = backend(name => 'l');
    my $name = 'localhost:' . $p->port;
    my $g = gateway(config($dns, "server $name;"));
    my ($before) = grep { $_->{address} =~ /^127/ } servers($g);

    ok($g->reload(config($dns, "lb_resolve $name;")), 'reloaded');
    my ($after) = grep { $_->{address} =~ /^127/ } servers($g);
    is($after->{id}, $before->{id}, 'it is the same server');
    ok($after->{resolved}, 'of the name now');
    ok($g->reload(config($dns, "server $name;")), 'and back');
    ($after) = grep { $_->{address} =~ /^127/ } servers($g);
    is($after->{id}, $before->{id}, 'again');
    ok(!$after->{resolved}, 'of the line');
};


subtest 'SRV records: ports, weights, priorities' => sub {
    my $dns = dns('_http._tcp.a.test' => { SRV => [
                      [ 10, 5, $port, 'h2.a.test' ],
                      [ 10, 0, $port, 'h3.a.test' ],
                      [ 20, 1, $port, 'h4.a.test' ] ], ttl => 1 },
                  map { ("h$_.a.test" => hosts($_)) } 2 .. 5);
    my $conf = config($dns, 'lb_resolve a.test service=http;');
    my $g = gateway($conf);
    my $list = '127.0.0.2/5/up 127.0.0.3/1/up 127.0.0.4/1/up/backup';
    is(becomes($g, $list), $list, 'the best are used, others are backups');
    is((servers($g))[0]{name}, '_http._tcp.a.test', 'they have its name');
    my %n;
    $n{ who($g) }++ for 1 .. 12;
    is_deeply(\%n, { 2 => 10, 3 => 2 }, 'by their weights');

    $dns->set('h2.a.test' => { rcode => 2 });
    ok(wait_for(sub { $dns->queries('h2.a.test', 'A') > 3 }), 'a host fails');
    is(list($g), $list, 'its server stays');

    $dns->set('h2.a.test' => hosts(2), '_http._tcp.a.test' => { SRV => [
        [ 1, 0, $port, 'h4.a.test' ], [ 1, 0, $port, 'h5.a.test' ] ] });
    $list = '127.0.0.4/1/up 127.0.0.5/1/up';
    is(becomes($g, $list), $list,
       'records without weights, and a backup that is the best now');

    ok($g->reload($conf =~ s/service=http/service=http weight=4 backup/r
                        =~ s/(lb_resolve)/server 127.0.0.2:$port; $1/r),
       'with parameters');
    $list = '127.0.0.2/1/up 127.0.0.4/4/up/backup 127.0.0.5/4/up/backup';
    is(becomes($g, $list), $list, 'which count for all of them');

    $dns->set('_grpc._tls.a.test' => { SRV => [[ 1, 1, $port, 'h3.a.test' ]] });
    ok($g->reload($conf =~ s/service=http/service=_grpc._tls/r),
       'a service with a protocol of its own');
    is(becomes($g, '127.0.0.3/1/up'), '127.0.0.3/1/up', 'is found');
};


subtest 'many addresses, IPv6, and two names of one address' => sub {
    my $dns = dns('a.test' => { A => [ map { "127.0.1.$_" } 1 .. 50 ] },
                  'b.test' => { A => ['127.0.1.1'], AAAA => ['::1'] });
    my $g = gateway(config($dns, 'lb_resolve a.test:1; lb_resolve b.test:1;')
                    =~ s/ ipv6=off//r);
    ok(wait_for(sub { servers($g) == 52 }), '50 and 2 servers')
        or diag(scalar servers($g));
    cmp_ok($dns->over_tcp, '>', 0, 'that answer came over TCP');
    is(scalar(grep { $_->{address} eq '[::1]:1' } servers($g)), 1, 'IPv6');
    is(scalar(grep { $_->{address} eq '127.0.1.1:1' } servers($g)), 2,
       'an address of two names is a server of each');

    $dns->set('a.test' => { A => [ map { "127.0.1.$_" } 1 .. 90 ] });
    my $line = $g->wait_log(qr/addresses of name a.test:1 are left out/);
    like($line, qr/has room for 64 servers, 28 addresses of name/,
         'what has no room is logged');
    is(scalar servers($g), 64, 'the others are in');
};


subtest 'checks: no gap, and none that has not passed' => sub {
    my $dns = dns('a.test' => hosts(2));
    my $g = gateway(config($dns, "lb_resolve a.test:$port; "
                                 . 'lb_health_check interval=200ms rise=2;'));
    is(becomes($g, '127.0.0.2/1/up'), '127.0.0.2/1/up',
       'the first answer counts at once');
    $b{3}->behave(status => 503);
    $dns->set('a.test' => hosts(3));
    is(becomes($g, '127.0.0.2/1/up 127.0.0.3/1/down'),
       '127.0.0.2/1/up 127.0.0.3/1/down', 'one that comes has to pass');
    is(join('', map { who($g) } 1 .. 3), '222', 'the old one serves yet');
    $b{3}->behave;
    is(becomes($g, '127.0.0.3/1/up'), '127.0.0.3/1/up', 'until it has');
};


subtest 'lb_state keeps names as names' => sub {
    my $dns = dns('a.test' => hosts(2, 3));
    my $conf = config($dns, "lb_resolve a.test:$port; "
                            . 'lb_state %%DIR%%/state/u.json;');
    my $g = gateway_unstarted($conf, workers => 2);
    mkdir $g->dir . '/state';
    $g->start;
    becomes($g, '127.0.0.2/1/up 127.0.0.3/1/up');
    ok(wait_for(sub { my $s = saved($g); $s && @{ $s->{servers} } == 2 }),
       'they are in the file');
    is_deeply([ map { [ @$_{qw(name resolved)} ] } @{ saved($g)->{servers} } ],
              [ ([ "a.test:$port", JSON::PP::true ]) x 2 ], 'with their name');
    my ($one) = servers($g);
    api($g, PATCH => "/servers/$one->{id}", { weight => 7 });
    $g->quit;

    $dns->kill;
    $g->start;
    is(list($g), '127.0.0.2/7/up 127.0.0.3/1/up',
       'a start without DNS has them, and what was changed');
    is((servers($g))[0]{id}, $one->{id}, 'under the same id');
    $dns->start_again;
    $dns->set('a.test' => hosts(2, 4));
    is(becomes($g, '127.0.0.2/7/up 127.0.0.4/1/up'),
       '127.0.0.2/7/up 127.0.0.4/1/up', 'they follow the name');
    ok(wait_for(sub { join(' ', sort map { $_->{address} }
                      @{ saved($g)->{servers} })
                      eq "127.0.0.2:$port 127.0.0.4:$port" }),
       'so does the file');
    $g->quit;

    $g->reload(config($dns, $b{5}->server . ' lb_state %%DIR%%/state/u.json;'))
        if $g->running;
    my $other = gateway_unstarted(config($dns, $b{5}->server
                                . " lb_state @{[ $g->dir ]}/state/u.json;"));
    $other->start;
    is(list($other), '127.0.0.5/1/up',
       'without the name they are no servers of the list');
};


SKIP: {
    skip('"resolve" of a server came with nginx 1.27.3', 1)
        if version() lt v1.27.3;

    subtest 'resolve of a server line is the same' => sub {
        my $dns = dns('a.test' => hosts(2, 3), '_http._tcp.a.test' => {
                      SRV => [[ 1, 3, $port, 'h4.a.test' ]], ttl => 1 },
                      'h4.a.test' => hosts(4));
        my $conf = config($dns, "server a.test:$port resolve weight=2; "
                                . 'server a.test resolve service=http; '
                                . 'server 127.0.0.5:1 down;');
        my $g = gateway($conf);
        my $list = '127.0.0.2/2/up 127.0.0.3/2/up 127.0.0.4/3/up '
                   . '127.0.0.5:1/1/disabled';
        is(becomes($g, $list), $list, 'addresses and records');
        $dns->set('a.test' => hosts(3));
        is(becomes($g, $list =~ s/127.0.0.2\/2\/up //r),
           $list =~ s/127.0.0.2\/2\/up //r, 'that are followed');

        my $own = "resolver 127.0.0.1:@{[ $dns->port ]} ipv6=off;";
        ok($g->reload($conf =~ s/resolver 127[^;]*;//r
                            =~ s/upstream u \{/upstream u { $own/r),
           'by the resolver of the upstream itself');
        $dns->set('a.test' => hosts(2));
        is(becomes($g, $list =~ s/127.0.0.3\/2\/up //r),
           $list =~ s/127.0.0.3\/2\/up //r, 'which is asked');
        $g->quit;
    };
}


done_testing();
