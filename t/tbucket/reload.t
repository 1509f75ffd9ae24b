# What a reload keeps and what it changes: buckets, limits, sizes of zones.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);


sub config
{
    my (%o) = @_;

    my $size     = $o{size} // '64k';
    my $rate     = $o{rate} // '1r/h';
    my $capacity = $o{capacity} // 3;
    my $more     = $o{more} // '';

    return <<"END";
    tbucket_zone \$arg_key zone=z:$size rate=$rate capacity=$capacity;
    server { listen 127.0.0.1:%%PORT%%; root %%DIR%%/html; tbucket zone=z;
             try_files /none \@ok;
             location \@ok { return 200 "\$tbucket_remaining"; } }
    $more
END
}


sub codes
{
    my ($g, $key, $n) = @_;

    my @codes;
    load($g, "/?key=$key", requests => $n,
         each => sub { push @codes, $_[0]{code} });

    return "@codes";
}


subtest 'a reload keeps every bucket' => sub {
    my $g = gateway(config(), workers => 2);

    is(codes($g, 'a', 4), '200 200 200 429', 'drained');
    is(codes($g, 'b', 1), '200', 'used once');
    ok($g->reload, 'reloaded');
    is(codes($g, 'a', 1), '429', 'still drained');
    is(codes($g, 'b', 3), '200 200 429', 'two were left');
    ok($g->reload, 'reloaded again');
    is(codes($g, 'b', 1), '429', 'still drained');
};

subtest 'changed limits hold at once' => sub {
    my $g = gateway(config());

    is(codes($g, 'a', 4), '200 200 200 429', 'drained at 1r/h');
    ok($g->reload(config(rate => '1000r/s')), 'reloaded with 1000r/s');
    is(wait_for(sub { codes($g, 'a', 1) eq '200' }, 2), 1, 'it refills');

    is(codes($g, 'b', 1), '200', 'another, at capacity 3');
    ok($g->reload(config(rate => '1r/h', capacity => 1)),
       'reloaded with capacity 1');
    is(codes($g, 'b', 2), '200 429', 'has no more than 1');

    ok($g->reload(config(capacity => 5)), 'reloaded with capacity 5');
    is(codes($g, 'b', 1), '429', 'a higher capacity gives no tokens');
    is(codes($g, 'c', 6), '200 200 200 200 200 429', 'but to a new client');
};

for (['32k', '1m', 'grows'], ['1m', '64k', 'shrinks']) {
    my ($from, $to, $what) = @$_;

    subtest "a zone that $what keeps what fits" => sub {
        my $g = gateway(config(size => $from), workers => 2);

        is(codes($g, "drained$_", 4), '200 200 200 429', "drained $_")
            for 1 .. 20;
        is(codes($g, "once$_", 1), '200', "used once $_") for 1 .. 20;

        ok($g->reload(config(size => $to)), 'reloaded');
        like($g->wait_log(qr/tbucket: zone "z" changed its size/),
             qr/\[notice\].* 40 other buckets kept, 0 lost/, 'it is logged');

        is(codes($g, "drained$_", 1), '429', "still drained $_")
            for 1 .. 20;
        is(codes($g, "once$_", 3), '200 200 429', "two were left $_")
            for 1 .. 20;
    };
}

subtest 'a zone too small for all loses buckets, but says so' => sub {
    my $g = gateway(config(size => '1m', capacity => 1));

    load($g, sub { "/?key=$_[0]" }, requests => 3000, connections => 8);
    is(codes($g, 1, 1), '429', 'drained');
    ok($g->reload(config(size => '32k', capacity => 1)), 'reloaded');

    my ($kept, $lost) = $g->wait_log(qr/changed its size/)
                        =~ /(\d+) other buckets kept, (\d+) lost/;
    is($kept + $lost, 3000, 'each is kept or lost');
    cmp_ok($kept, '>', 300, 'most of the room is used');
    like(codes($g, 'new', 1), qr/^429$/,
         'and a full zone of drained buckets admits nobody new');
};

subtest 'a reload that fails changes nothing' => sub {
    my $g = gateway(config());
    my @workers = $g->workers;

    is(codes($g, 'a', 4), '200 200 200 429', 'drained');
    ok(!$g->reload(config(size => '1m', capacity => 9,
                          more => 'tbucket zone=none;')), 'refused');
    is_deeply([$g->workers], \@workers, 'the workers go on');
    is(codes($g, 'a', 1), '429', 'still drained');
    is(codes($g, 'b', 4), '200 200 200 429', 'with the limits as before');

    # fails after the zones have been made: an address that is taken

    my $port = $g->port;
    ok(!$g->reload(config(size => '1m',
                          more => "server { listen 192.0.2.1:$port; }")),
       'refused late');
    is(codes($g, 'a', 1), '429', 'still drained');
    ok($g->reload(config(size => '1m')), 'a good one');
    is(codes($g, 'a', 1), '429', 'still drained');
};

# A write that an old worker has begun to read when the zone is replaced.

for my $store ('', 'tbucket_store sqlite:%%DIR%%/c.db;') {
    subtest "a change to a zone that a reload replaces ($store)" => sub {
        my $api = "$store server { listen unix:%%DIR%%/api; location /c { "
                  . 'tbucket_api zone=z write=on; } }';
        my $g = gateway(config(more => $api));
        my $sock = 'unix:' . $g->dir . '/api';
        my $body = '{"capacity":5,"rate_per_sec":1}';
        my %json = (headers => { 'Content-Type' => 'application/json' });

        is(request($sock, 'PUT', '/c/before', %json,
                   body => $body)->{code}, 201, 'before it is kept');

        my $old = client($sock);
        $old->send("PUT /c/late HTTP/1.1\r\nHost: a\r\n"
                   . "Content-Type: application/json\r\nContent-Length: "
                   . length($body) . "\r\n\r\n" . substr($body, 0, 9));
        is(request($sock, 'GET', '/c/before')->{code}, 200, 'it is read');

        ok($g->reload(config(size => '1m', more => $api)), 'reloaded');
        $old->send(substr($body, 9));
        my $r = $old->response;

        is($r->{code}, 503, 'after it is refused');
        like($r->{body}, qr/ is being replaced by a reload, nothing was changed/,
             'with the reason') if $store eq '';
        is(request($sock, 'GET', '/c/late')->{code}, 404, 'and not there');
        is(request($sock, 'GET', '/c/before')->{code}, 200,
           'the one before is');
        is(request($sock, 'PUT', '/c/late', %json, body => $body)->{code},
           201, 'and can be made again');
    };
}

subtest 'nginx -t beside a running instance' => sub {
    my $g = gateway(config());

    is(codes($g, 'a', 4), '200 200 200 429', 'drained');
    my ($code, $err) = $g->test;
    is($code, 0, 'the test succeeds') or diag($err);
    is(codes($g, 'a', 1), '429', 'still drained');
    unlike($g->log, qr/changed its size/, 'nothing was taken over');
};

subtest 'an old worker counts on the same buckets' => sub {
    my $b = backend(name => 'x');
    my $c = config() =~ s/try_files.*//r =~ s/location \@ok.*/
                location \/ { proxy_pass http:\/\/127.0.0.1:@{[ $b->port ]}; } }/r;
    my $g = gateway($c);

    my $slow = client($g);
    $slow->send("GET /?key=a&delay=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(sub { scalar(my @r = $b->requests) });

    ok($g->reload, 'reloaded under a request');
    is(codes($g, 'a', 3), '200 200 429', 'which took its token');
    is($slow->response->{code}, 200, 'and is answered');
};

subtest 'a graceful stop does not wait for the ticker' => sub {
    for my $o ({ workers => 2 }, { master => 0 }) {
        my $g = gateway("tbucket_refill 10s;\n" . config(), %$o);

        codes($g, 'a', 1);
        my $begin = time();
        is($g->quit, 0, 'nginx exits');
        cmp_ok(time() - $begin, '<', 5, 'at once');
        unlike($g->log, qr/\[(?:alert|emerg|crit)\]|exited on signal/,
               'with nothing worse than warnings in its log');
    }
};

subtest 'old workers leave after a reload' => sub {
    my $g = gateway(config(), workers => 2);

    ok($g->reload, "reloaded $_ times") for 1 .. 3;
    ok(wait_for(sub { !$g->old_workers }, 5), 'none is left');
};

subtest 'master_process off' => sub {
    my $g = gateway(config(rate => '30r/m', capacity => 1), master => 0);

    is(codes($g, 'a', 2), '200 429', 'limits');
    is(wait_for(sub { codes($g, 'a', 1) eq '200' }, 30), 1, 'and refills');
};

subtest 'a unix socket' => sub {
    my $g = gateway(<<'END');
    tbucket_zone $tbucket_addr zone=z:64k rate=1r/h;
    server { listen unix:%%DIR%%/s; listen 127.0.0.1:%%PORT%%;
             root %%DIR%%/html; tbucket zone=z; try_files /none @ok;
             location @ok { return 200 "$tbucket_client"; } }
END
    my $sock = 'unix:' . $g->dir . '/s';
    is(get($sock, '/')->{body}, 'unix:', 'its clients are one');
    is(get($sock, '/')->{code}, 429, 'with one bucket');
    is(get($g, '/')->{body}, '127.0.0.1', 'apart from the others');
};

done_testing();
