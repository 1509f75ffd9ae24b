# Clients who are blocked get 403 and those who are unlimited are counted
# only, whatever the zone limits; limits of their own in each kind of zone.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api);
use Gateway;
use JSON::PP;
use Test::More;

my $b = backend(name => 'b');
my $g = gateway(<<"END", workers => 2);
    tbucket_zone \$arg_key zone=rate:1m rate=1r/h capacity=2;
    tbucket_zone \$arg_key zone=quota:1m quota=2/month;
    tbucket_zone \$arg_key zone=flight:1m inflight=2;
    tbucket_zone \$arg_key zone=more:1m rate=1r/h capacity=50;
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_read_timeout 60s;
        location /rate { tbucket zone=rate; proxy_pass http://@{[$b->address]}; }
        location /quota { tbucket zone=quota;
                          proxy_pass http://@{[$b->address]}; }
        location /flight { tbucket zone=flight;
                           proxy_pass http://@{[$b->address]}; }
        location /two { tbucket zone=rate; tbucket zone=more;
                        proxy_pass http://@{[$b->address]}; }
        location /dry { tbucket zone=rate; tbucket_dry_run on;
                        proxy_pass http://@{[$b->address]}; }
        location /clients/rate { tbucket_api zone=rate write=on; }
        location /clients/quota { tbucket_api zone=quota write=on; }
        location /clients/flight { tbucket_api zone=flight write=on; }
        location /metrics { tbucket_metrics; }
    }
END

my %own = (rate => { capacity => 5, rate_per_sec => 1 },
           quota => { quota => 5 }, flight => { inflight => 5 });

for my $zone (qw(rate quota flight)) {
    my $api = "/clients/$zone";

    is(api($g, 'PUT', "$api/own", $own{$zone})->{code}, 201, "$zone: registered");
    like(get($g, "/$zone?key=own")->{headers}{'ratelimit-policy'},
         qr/^"$zone";q=5;/, "$zone: by limits of its own");

    is(api($g, 'PATCH', "$api/own", { blocked => JSON::PP::true })->{code}, 200,
       "$zone: blocked");

    my $r = get($g, "/$zone?key=own");
    is($r->{code}, 403, "$zone: 403");
    is($r->{body}, '{"code":403,"message":"Client is blocked"}', 'as JSON');
    is(join(' ', grep { exists $r->{headers}{$_} }
            qw(retry-after ratelimit ratelimit-policy)), '', 'and no more');

    api($g, 'PATCH', "$api/own", { blocked => JSON::PP::false });
    is(get($g, "/$zone?key=own")->{code}, 200, "$zone: not any more");

    is(api($g, 'PATCH', "$api/own", { unlimited => JSON::PP::true })->{code},
       200, "$zone: unlimited");

    for (1 .. 10) {
        $r = get($g, "/$zone?key=own");
        last if $r->{code} != 200;
    }

    is($r->{code}, 200, "$zone: admits all");
    is($r->{headers}{ratelimit}, undef, "$zone: and tells of no limit");

    api($g, 'PATCH', "$api/own", { unlimited => JSON::PP::false });
    like(get($g, "/$zone?key=own")->{headers}{ratelimit},
         qr/^"$zone";r=[1-4]/, "$zone: what it used meanwhile is not charged");
}

# who was blocked or unlimited before anything else was known of him

my %full = (rate => 2, quota => 2, flight => 2);

for my $zone (qw(rate quota flight)) {
    for my $what (qw(blocked unlimited)) {
        my $client = "/clients/$zone/$what";

        my $r = api($g, 'PUT', $client, { $what => JSON::PP::true });
        is($r->{code}, 201, "$zone: a new client is $what");
        is(decode_json($r->{body})->{tokens}, $full{$zone}, 'its bucket is full');

        $r = api($g, 'PATCH', $client, { $what => JSON::PP::false });
        is(decode_json($r->{body})->{tokens}, $full{$zone}, 'and still is when it is not');
        like(get($g, "/$zone?key=$what")->{headers}{ratelimit},
             qr/^"$zone";r=1/, "it has the zone's limit");

        api($g, 'PUT', $client, { $what => JSON::PP::true });
        is(api($g, 'DELETE', $client)->{code}, 204, 'removed');
        isnt(get($g, "/$zone?key=$what")->{code}, 429,
             "it has what is left of the zone's limit");
    }
}

# used, of requests in flight

my @c = map {
    my $c = client($g);
    $c->send("GET /flight?key=own&action=hang HTTP/1.1\r\nHost: a\r\n\r\n");
    $c;
} 1 .. 3;
ok(wait_for(sub {
    get($g, '/clients/flight/own')->{body} =~ /"used":3\b/;
}), 'the API shows how many are under way');
undef @c;

# several limits

api($g, 'PATCH', '/clients/rate/own', { blocked => JSON::PP::true });
is(get($g, '/two?key=own')->{code}, 403, 'one limit of two blocks');
like(get($g, '/two?key=x')->{headers}{ratelimit}, qr/"more";r=49/,
     'others are admitted');
api($g, 'PATCH', '/clients/rate/own', { blocked => JSON::PP::false,
                                        unlimited => JSON::PP::true });
my $r = get($g, '/two?key=own');
is($r->{code}, 200, 'one of two is unlimited');
like($r->{headers}{ratelimit}, qr/^"more";r=49;/,
     'the other one is told alone, and was not charged for 403');
api($g, 'PATCH', '/clients/rate/own', { blocked => JSON::PP::true,
                                        unlimited => JSON::PP::false });
is(get($g, '/dry?key=own')->{code}, 200, 'a dry run blocks nobody');

like($g->log, qr/\[warn\] .*by zone "rate", client hash [0-9a-f]{16}, blocked/,
     'logged');

is($g->quit, 0, 'nginx stops');

done_testing();
