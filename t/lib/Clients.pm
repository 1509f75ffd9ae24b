# The clients API and its limits as tests use them: requests with JSON, and
# what comes of them.

package Clients;

use v5.28;
use warnings;

use Exporter 'import';
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT      = qw(admitted api client_of put registered set_tokens);
our @EXPORT_OK   = qw(count refilled store_up stored);
our %EXPORT_TAGS = (store => [@EXPORT, @EXPORT_OK]);


# A request; a body is what JSON is to say, or a text as it is.  Of the answer
# {json} is what its body says, undef if that is no JSON.

my $json = JSON::PP->new->utf8->canonical;

sub api
{
    my ($g, $method, $uri, $body) = @_;

    my $r = request($g, $method, $uri, defined $body
        ? (body => ref $body ? $json->encode($body) : $body,
           headers => { 'Content-Type' => 'application/json' }) : ());

    $r->{json} = eval { $json->decode($r->{body}) };

    return $r;
}


# Leaves a client that is not registered with so many tokens.

sub set_tokens
{
    my ($g, $uri, $tokens) = @_;

    api($g, 'PUT', $uri, { capacity => 1000, rate_per_sec => 0.001 });
    is(api($g, 'PATCH', $uri, { tokens => $tokens })->{code}, 200,
       "$uri has $tokens");
    api($g, 'DELETE', $uri);
}


# The status of a PUT of these limits.

sub put
{
    my ($g, $id, $capacity, $rate) = @_;

    return api($g, 'PUT', "/clients/$id",
               { capacity => $capacity, rate_per_sec => $rate })->{code};
}


# The client as the API shows it, or undef.

sub client_of
{
    my ($g, $id) = @_;

    my $r = api($g, 'GET', "/clients/$id");

    return $r->{code} == 200 ? decode_json($r->{body}) : undef;
}


# All registered clients: id => "capacity/rate".

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


# How many of n requests with this key were admitted (to nothing: 404).

sub admitted
{
    my ($g, $key, $n) = @_;

    return load($g, '/none', requests => $n,
                headers => { 'X-Api-Key' => $key })->{codes}{404} // 0;
}


# The text of a gateway with a store and a zone "clients".  Options: zone
# (parameters), size, http and server (more lines).

sub stored
{
    my ($store, %o) = @_;

    my $zone   = $o{zone} // 'rate=10r/d capacity=10';
    my $size   = $o{size} // '4m';
    my $http   = $o{http} // '';
    my $server = $o{server} // '';

    return <<"END";
        tbucket_zone \$http_x_api_key zone=clients:$size $zone;
        tbucket_store $store;
        client_max_body_size 64m;
        $http
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=clients; }
            location /clients { tbucket_api zone=clients write=on; }
            location /metrics { tbucket_metrics; }
            $server
        }
END
}


# Whether it says that its store is up: 1, 0 or, when it does not say, "".

sub store_up
{
    my ($g) = @_;

    return get($g, '/metrics')->{body} =~ /^tbucket_store_up (\d)$/m ? $1
                                                                     : '';
}


# How often something stands in its log.

sub count { my ($g, $re) = @_; my @n = $g->log =~ /$re/g; return scalar @n }


# Stops it (quit, stop, kill), starts it again after 2 s, and tests that the
# drained clients "u" (2 tokens a second) and "r" (4 a second, registered) have
# what these earned and no more.  They were drained from $begin to $at, when u
# had $left tokens.

sub refilled
{
    my ($g, $how, $begin, $at, $left) = @_;

    $g->$how;
    sleep(2);
    $g->start;

    my ($u, $r) = map { client_of($g, $_)->{tokens} } qw(u r);
    my $now = time();

    cmp_ok($u, '>=', 2 * 2 - 0.1, "$how: has what time has earned");
    cmp_ok($u, '<=', $left + 2 * ($now - $at) + 0.4, 'and not more');
    cmp_ok($r, '>=', 4 * 2 - 0.1, 'a registered one as well');
    cmp_ok($r, '<=', 1 + 4 * ($now - $begin) + 0.6, 'and not more');
}


1;
