# GET /clients?top=: who is refused and seen most, among many, over workers,
# their ends and reloads.  TBUCKET_TOP_KEYS makes the crowd larger.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api put);
use Gateway;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $keys = $ENV{TBUCKET_TOP_KEYS} // 20_000;

my $text = <<'END';
    tbucket_zone $arg_key zone=a:4m rate=1r/d capacity=1;
    tbucket_zone $arg_key zone=b:1m rate=1r/d capacity=1;
    tbucket_zone $arg_key zone=small:128k rate=1r/d capacity=1;
    tbucket_zone $arg_key zone=big:4m rate=1r/h capacity=1000000;
    tbucket_zone $binary_remote_addr zone=binary:1m rate=1r/d capacity=1;
    server {
        listen 127.0.0.1:%%PORT%%;
        access_log off;
        tbucket_log_level info;
        keepalive_requests 1000000;
        location = /a { tbucket zone=a; try_files /none @ok; }
        location = /b { tbucket zone=b; try_files /none @ok; }
        location = /dry { tbucket zone=b; tbucket_dry_run on;
                          try_files /none @ok; }
        location = /big { tbucket zone=big; try_files /none @ok; }
        location = /binary { tbucket zone=binary; try_files /none @ok; }
        location @ok { return 204; }
        location /clients { tbucket_api zone=a write=on; }
        location /b/clients { tbucket_api zone=b; }
        location /big/clients { tbucket_api zone=big; }
        location /small/clients { tbucket_api zone=small; }
        location /binary/clients { tbucket_api zone=binary; }
        location = /hash { tbucket zone=a; try_files /none @ok;
                           add_header X-Hash $tbucket_client_hash always; }
    }
END

my $g = gateway($text, workers => 3, log_level => 'notice');


# What a list says; undef unless it is an answer of 200.

sub top
{
    my ($where, $args) = @_;

    my $r = api($g, 'GET', "$where?$args");
    return $r->{code} == 200 ? decode_json($r->{body}) : undef;
}


# The rows of a list, by id.

sub rows { return { map { $_->{client_id} => $_ } @{ top(@_)->{top} } } }


# Requests to these URIs in turn, pipelined over some connections, so that
# all workers have their share.

sub pipeline
{
    my (@uris) = @_;

    my @socks = map {
        IO::Socket::INET->new('127.0.0.1:' . $g->port) or die "connect: $!\n"
    } 1 .. 6;

    my $n = 0;

    while (my @batch = splice(@uris, 0, 100)) {
        my $sock = $socks[$n++ % @socks];
        my ($in, $left) = ('', scalar @batch);

        syswrite($sock, join '', map { "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n" }
                                 @batch)
            or die "write: $!\n";

        while ($left > 0) {
            sysread($sock, $in, 65536, length $in) or die "closed\n";

            # a status line and its headers; refusals have a body of 44

            while ($in =~ m{^HTTP/1\.1 (\d+) .*?\r\n\r\n}s) {
                my $size = $+[0] + ($1 == 429 ? 44 : 0);
                last if length $in < $size;

                substr($in, 0, $size) = '';
                $left--;
            }
        }
    }
}


subtest 'what is refused is counted' => sub {
    my $begin = time;

    is_deeply(top('/clients', 'top=rejected')->{top}, [], 'at first nobody');
    put($g, 'known', 2, 0.001);

    pipeline(map { "/a?key=$_" } ('x') x 31, ('known') x 12, 'seldom');

    my $top = top('/clients', 'top=rejected');

    is_deeply([ map { { %$_, requests => 0 } } @{ $top->{top} } ],
              [ { client_id => 'x', rejected => 30, requests => 0,
                  error => 0 },
                { client_id => 'known', rejected => 10, requests => 0,
                  error => 0 } ],
              'each refusal, of registered clients and others, by number');
    cmp_ok($_->{requests}, '>=', $_->{rejected}, 'as a request, too')
        for @{ $top->{top} };
    cmp_ok($top->{since}, '>=', int($begin) - 60, 'since the zone began');
    cmp_ok($top->{since}, '<=', time + 1, 'and not later');

    is(scalar @{ top('/clients', 'top=rejected&limit=1')->{top} }, 1,
       'as many as are wanted');
    is(top('/clients', 'top=requests&limit=1')->{top}[0]{client_id}, 'x',
       'refusals are requests');
    is_deeply(top('/b/clients', 'top=rejected')->{top}, [],
              'other zones have their own');
    is(api($g, 'HEAD', '/clients?top=rejected')->{code}, 200, 'HEAD');
};

subtest 'a dry run tells who would be refused' => sub {
    pipeline(map { '/dry?key=dry' } 1 .. 8);
    is(rows('/b/clients', 'top=rejected')->{dry}{rejected}, 7, 'as refused');
};

subtest 'what is wrong is told' => sub {
    for (['top=rejected&cursor=0000000000000000', qr/argument "cursor"/],
         ['top=rejected&hash=0000000000000000', qr/argument "hash"/],
         ['top=rejected&top=requests', qr/argument "top".*given twice/],
         ['top=refused', qr/top is "refused", must be "rejected" or/],
         ['top=', qr/top is "", must be/],
         ['top=rejected&limit=0', qr/limit is "0", must be .* 1 to 1000/],
         ['top=rejected&limit=1001', qr/limit is "1001", must be/],
         ['top=rejected&limit=x', qr/limit is "x", must be/]) {
        my ($args, $re) = @$_;
        my $r = api($g, 'GET', "/clients?$args");
        is($r->{code}, 400, $args);
        like(decode_json($r->{body})->{message}, $re, 'says why');
    }

    is(api($g, 'POST', '/clients?top=rejected', {})->{code}, 400,
       'only a list has it');
    my $r = api($g, 'GET', '/small/clients?top=rejected');
    is($r->{code}, 400, 'a small zone counts nobody');
    like($r->{body}, qr/zone \\"small\\" has 131072 bytes.* from 256k on/,
         'and says so');
};

subtest 'ids are given out as they came' => sub {
    my $long = 'l' x 300;
    my %ids = ('%00%3cb%3e"' => '%00%3cb%3e"', $long => 'l' x 255,
               'a\\b' => 'a\\b');

    pipeline(map { ("/b?key=$_") x 5 } keys %ids);
    my $rows = rows('/b/clients', 'top=rejected');
    is($rows->{$_}{rejected}, 4, length($_) . ' bytes: ' . substr($_, 0, 20))
        for values %ids;

    pipeline(('/binary') x 3);
    my $r = api($g, 'GET', '/binary/clients?top=rejected');
    is(decode_json($r->{body})->{top}[0]{rejected}, 2,
       'an address of four bytes is in valid JSON');
    is(decode_json($r->{body})->{top}[0]{client_id}, "\x7f\0\0\1", 'as it is');

    syswrite(my $sock = IO::Socket::INET->new('127.0.0.1:' . $g->port),
             "GET /b?key=\xff\xc3z HTTP/1.1\r\nHost: a\r\n\r\n" x 3
             . "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    1 while sysread($sock, my $in, 4096);
    is(rows('/b/clients', 'top=rejected')->{"\x{fffd}\x{fffd}z"}{rejected}, 2,
       'what is no UTF-8 is shown as U+FFFD');
};

subtest 'a hash leads to who is counted' => sub {
    get($g, '/hash?key=hashed');
    my $r = get($g, '/hash?key=hashed');
    is($r->{code}, 429, 'it is refused');

    my $found = top('/clients', "hash=$r->{headers}{'x-hash'}");
    is($found->{client_id}, 'hashed', 'it is found');
    is($found->{registered}, JSON::PP::false, 'not registered');
    cmp_ok($found->{tokens}, '<', 0.1, 'with its tokens');

    $r = api($g, 'GET', '/b/clients?hash=' . $r->{headers}{'x-hash'});
    is($r->{code}, 404, 'in its zone alone');
    like($r->{body}, qr/no registered client has the hash .*, nor one/,
         'as is said');
};

subtest 'one of 64 admissions is counted' => sub {
    pipeline(map { $_ % 8 ? '/big?key=much' : "/big?key=little$_" }
             1 .. 16_000);

    my $row = top('/big/clients', 'top=requests&limit=1')->{top}[0];
    is($row->{client_id}, 'much', 'who is seen most');
    is($row->{rejected}, 0, 'was not refused');
    cmp_ok($row->{requests}, '>', 14_000 * 0.7, "of 14000: $row->{requests}");
    cmp_ok($row->{requests}, '<', 14_000 * 1.4, 'about right');
    is_deeply(top('/big/clients', 'top=rejected')->{top}, [], 'nobody is');
};

subtest 'who is refused most is found in a crowd' => sub {
    my @heavy = map { "heavy$_" } 1 .. 20;
    my %real;

    # every made-up key is refused once; a heavy one has 0.25 % of all refusals

    my @uris = map { ("/b?key=m$_") x 2 } 1 .. $keys / 2;
    push @uris, map { my $key = $_; map { "/b?key=$key" }
                      1 .. 1 + $keys / 2 * 0.0025 / 0.95 } @heavy;
    my @shuffled = sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @uris;

    pipeline(map { $_->[1] } @shuffled);

    my $rows = rows('/b/clients', 'top=rejected&limit=1000');
    my @missing = grep { !$rows->{$_} } @heavy;
    is("@missing", '', 'all heavy ones are listed');

    my $want = int(1 + $keys / 2 * 0.0025 / 0.95) - 1;
    my @wrong = grep { $_->{rejected} < $want
                       || $_->{rejected} - $_->{error} > $want }
                grep { defined } @$rows{@heavy};
    is_deeply(\@wrong, [], "with $want refusals, within their error");
    cmp_ok(scalar keys %$rows, '<=', 1000, 'not more than asked for');
};

subtest 'workers that are killed leave nothing stuck' => sub {
    my ($killed, $next) = (0, time + 0.1);

    load($g, '/a?key=killed', connections => 32, seconds => 3, timeout => 10,
         each => sub {
             if (time > $next) {
                 my @workers = $g->workers;
                 $killed += kill('KILL', $workers[rand @workers])
                     if @workers;
                 $next = time + 0.1;
             }
         });

    cmp_ok($killed, '>', 10, "workers were killed: $killed");
    is($g->wait_workers(3), 3, 'all workers run again');

    my $before = rows('/clients', 'top=rejected')->{killed}{rejected} // 0;
    pipeline(map { '/a?key=killed' } 1 .. 600);
    my $after = rows('/clients', 'top=rejected')->{killed}{rejected} // 0;
    cmp_ok($after - $before, '>', 590, 'counting goes on, in all of them');
};

subtest 'a reload keeps the counts, another size does not' => sub {
    my $before = rows('/clients', 'top=rejected')->{killed}{rejected};

    ok($g->reload, 'reloaded');
    cmp_ok(rows('/clients', 'top=rejected')->{killed}{rejected}, '>=',
           $before / 2, 'kept');
    cmp_ok(rows('/clients', 'top=rejected')->{killed}{rejected}, '<=',
           $before, 'and no more');

    ok($g->reload($text =~ s/zone=a:4m/zone=a:5m/r), 'of another size');
    is_deeply(top('/clients', 'top=rejected')->{top}, [], 'anew');
    pipeline(('/a?key=y') x 3);
    cmp_ok(rows('/clients', 'top=rejected')->{y}{rejected}, '>=', 2,
           'and it counts');
};

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/exited on signal (?!9\b)|\[emerg\]/,
       'nobody died of anything else');

done_testing();
