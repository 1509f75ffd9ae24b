# The clients API and its limits as tests use them: requests with JSON, and
# what comes of them.

package Clients;

use v5.28;
use warnings;

use Exporter 'import';
use Gateway;
use JSON::PP;

our @EXPORT = qw(admitted api client_of put registered);


# A request; a body is anything that JSON can say.

sub api
{
    my ($g, $method, $uri, $body) = @_;

    return request($g, $method, $uri, defined $body
        ? (body => encode_json($body),
           headers => { 'Content-Type' => 'application/json' }) : ());
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


1;
