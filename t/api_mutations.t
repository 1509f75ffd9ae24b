# Requests of all APIs, changed at random: bytes, words and parts of other
# requests, in the line, the headers and the body.  Whatever comes, no worker
# dies of it, each answer is one, and says in its body what its status is; and
# what was changed is what a client may be.
#
# MUTATION_SECONDS (5) says for how long, MUTATION_SEED with which requests.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Clients qw(api);
use Encode qw(encode);
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{MUTATION_SECONDS} // 5;
my $seed    = $ENV{MUTATION_SEED} // time() ^ $$;

srand($seed);
note("seed $seed");

my $backend = backend(name => 'a');

# no byte of a request that is too short is to be waited for

my $g = gateway(<<"END", workers => 2, env => { MALLOC_PERTURB_ => 165 });
    tbucket_zone \$arg_key zone=rate:256k rate=10r/s;
    tbucket_zone \$arg_key zone=quota:256k quota=10/day unit=10;
    tbucket_zone \$arg_key zone=places:256k inflight=10;
    tbucket_store sqlite:%%DIR%%/store/c.db;
    upstream u {
        lb round_robin;
        lb_state %%DIR%%/u.json;
        @{[ $backend->server ]}
    }
    client_body_timeout 300ms;
    client_header_timeout 300ms;
    keepalive_timeout 0;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            tbucket zone=rate cost=\$arg_cost settle=\$arg_settle plan=\$arg_plan;
            tbucket zone=quota plan=\$arg_plan;
            tbucket zone=places;
            return 204;
        }
        location /rate { tbucket_api zone=rate write=on; }
        location /rate-plans { tbucket_api zone=rate plans write=on; }
        location /quota { tbucket_api zone=quota write=on; }
        location /quota-plans { tbucket_api zone=quota plans write=on; }
        location /places { tbucket_api zone=places write=on; }
        location /upstreams { lb_api write=on; }
        location /tbucket { tbucket_metrics; }
        location /lb { lb_metrics; }
    }
END


# What there is to begin with: requests that are as they should be.

my %limits = (
    rate   => ['"capacity":5,"rate_per_sec":1.5', '"plan":"gold"',
               '"capacity":5,"rate_per_sec":1,"blocked":true',
               '"capacity":1000000,"rate_per_sec":0.0001'],
    quota  => ['"quota":7', '"plan":"gold"', '"quota":9999,"unlimited":true'],
    places => ['"inflight":3', '"inflight":1000,"blocked":false'],
);
my $address = $backend->address;


sub client_request
{
    my $at = any(keys %limits);
    my $id = any(qw(a b c), 'x' . int rand 20);
    my $limits = any(@{ $limits{$at} });

    return @{ any(
        [PUT    => "/$at/$id", "{$limits}"],
        [PUT    => "/$at?client_id=$id", qq({"client_id":"$id",$limits})],
        [POST   => "/$at", qq({"client_id":"$id",$limits})],
        [POST   => "/$at", qq([{"client_id":"$id",$limits},)
                           . qq({"client_id":"y$id",$limits}])],
        [PATCH  => "/$at/$id", any("{$limits}", '{"tokens":2}')],
        [DELETE => "/$at/$id"],
        [GET    => any("/$at", "/$at/$id", "/$at?limit=2", "/$at?client_id=$id",
                       "/$at?hash=0123456789abcdef", "/$at?top=rejected",
                       "/$at?limit=1&cursor=YQ")],
    ) };
}


sub other_request
{
    my $at = any(qw(rate quota));
    my $plan = any(qw(gold silver));
    my $limits = '{' . any(grep { !/plan|blocked|unlimited/ }
                           @{ $limits{$at} }) . '}';

    return @{ any(
        [PUT    => "/$at-plans/$plan", $limits],
        [PATCH  => "/$at-plans/$plan", $limits],
        [DELETE => "/$at-plans/$plan"],
        [GET    => any("/$at-plans", "/$at-plans/$plan")],
        [POST   => '/upstreams/u/servers', qq({"address":"$address"})],
        [PATCH  => '/upstreams/u/servers/' . int rand 4,
                   any('{"state":"draining","timeout":1}', '{"weight":2}',
                       '{"state":"up","max_conns":3}')],
        [DELETE => '/upstreams/u/servers/' . int rand 9],
        [GET    => any('/upstreams', '/upstreams/u', '/tbucket', '/lb')],
        [GET    => "/?key=a&cost=2&settle=1&plan=$plan"],
    ) };
}


my @words = (
    map({ ($_, qq("$_")) } qw(capacity rate_per_sec tokens quota inflight plan
        client_id blocked unlimited registered address state weight timeout)),
    qw(true false null 0 1 -1 1e308 -0 0.001 1000000 4294967296 NaN
       18446744073709551616 { } [ ] : " %00 %2f %2e%2e .. // ? & = * limit cursor
       hash top plans Content-Length: Expect: Transfer-Encoding: chunked gold a),
    ',', '\\', '\\u0000', '\\ud800', "\0", "\n", "\r\n", "\xff",
    "\xc0\x80", "\xf0\x9f\x98\x80", 'x' x 300, '[' x 200, '{"a":' x 50,
);

sub any { return $_[rand @_] }


sub request_text
{
    my ($method, $target, $body) =
        rand() < 0.6 ? client_request() : other_request();

    $body //= '';
    $method = any(qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) if rand() < 0.1;
    $target = mutated($target) if rand() < 0.3;
    $body = mutated($body) if rand() < 0.5;
    $target =~ s/[\r\n ]/+/g if rand() < 0.9;

    my $length = length $body;

    $length = any(0, 1, 99, 'x', '-1', '99999999999999999999')
        if rand() < 0.05;

    my $head = "$method $target HTTP/1.1\r\nHost: a\r\n"
               . 'Content-Type: application/json' . "\r\n"
               . (rand() < 0.05 ? "Expect: 100-continue\r\n" : '')
               . (rand() < 0.1 ? "Transfer-Encoding: chunked\r\n\r\n"
                                 . sprintf("%x\r\n%s\r\n0\r\n\r\n",
                                           length $body, $body)
                               : "Content-Length: $length\r\n\r\n$body");

    return ($method, rand() < 0.1 ? mutated($head) : $head);
}


sub mutated
{
    my ($text) = @_;

    for (0 .. rand 3) {
        my $at = int rand(1 + length $text);
        my $how = int rand 5;

        if ($how == 0 && $at < length $text) {
            substr($text, $at, 1) = chr int rand 256;
        } elsif ($how == 1) {
            substr($text, $at, 0) = any(@words);
        } elsif ($how == 2) {
            substr($text, $at, int rand 8) = '';
        } elsif ($how == 3) {
            substr($text, $at, 0) = substr($text, int rand(1 + length $text),
                                           int rand 20);
        } else {
            $text =~ s/-?\d+(?:\.\d+)?/any(@words)/e;
        }
    }

    return $text;
}


# What is wrong with an answer; nginx has words of its own for what is no HTTP.

sub wrong
{
    my ($method, $r) = @_;

    return 'no status' if $r->{code} < 200 || $r->{code} > 505;
    return '' if $method eq 'HEAD' || $r->{body} eq '';
    return '' if ($r->{headers}{'content-type'} // '') !~ /json/;

    my $json = eval { JSON::PP->new->utf8->decode($r->{body}) }
        // return 'no JSON';

    return 'no newline at the end' if $r->{body} !~ /\n\z/;
    return '' if $r->{code} < 400;

    return ref $json eq 'HASH' && ($json->{code} // '') eq $r->{code}
           && length($json->{message} // '') ? '' : 'no error';
}


my %codes;
my ($n, $silent) = (0, 0);
my @wrong;
my @workers = sort $g->workers;
my $end = time() + $seconds;

while (time() < $end && @wrong < 10) {
    my ($method, $text) = request_text();
    my $c = client($g);

    $c->send($text);
    $n++;

    if (rand() < 0.02) {
        $c->reset;
        next;
    }

    my $r = $c->response(method => $method) // do { $silent++; next };

    $codes{ $r->{code} }++;

    my $why = wrong($method, $r);
    push @wrong, "$why: $r->{code} $r->{body}\n$text" if $why;
}

note(join ', ', "$n requests", map { "$codes{$_} times $_" } sort keys %codes);

is(join("\n\n", @wrong), '', 'every answer is one');
cmp_ok($n, '>', 20 * $seconds, "requests were made: $n");
cmp_ok($codes{$_} // 0, '>', 0.2 * $seconds, "many were answered with $_")
    for qw(200 201 204 400 404 405 409);
is_deeply([sort $g->workers], \@workers, 'no worker has died');


# What has come of it can be shown, and be put back as it is.

for my $at (qw(rate quota places)) {
    my ($cursor, @clients);

    do {
        my $r = api($g, 'GET', "/$at?limit=1000"
                               . (defined $cursor ? "&cursor=$cursor" : ''));
        is($r->{code}, 200, "clients of $at") or last;
        push @clients, @{ $r->{json}{clients} };
        $cursor = $r->{json}{next};
    } while (defined $cursor);

    my @refused;

    for my $client (grep { $_->{registered} } @clients) {
        my $id = encode('UTF-8', $client->{client_id});
        $id =~ s/(\W)/sprintf('%%%02x', ord $1)/ge;
        my $r = api($g, 'PUT', "/$at?client_id=$id", $client);
        push @refused, encode_json($client) . " $r->{code} $r->{body}"
            if $r->{code} != 200 && @refused < 5;
    }

    is(join('', @refused), '', 'are what they may be');
}

is(api($g, 'GET', '/upstreams/u')->{code}, 200, 'servers are shown');
is($g->quit, 0, 'nginx stops');

my @bad = grep { /\[(?:emerg|alert)\]|Sanitizer|runtime error/ }
          split /^/, $g->log;
is(join('', @bad), '', 'nothing alarming is in the log');

done_testing();
