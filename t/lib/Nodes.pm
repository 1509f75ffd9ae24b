# Gateways that share a zone "g" of scope=global, as tests look at them.

package Nodes;

use v5.28;
use warnings;

use Clients qw(client_of);
use Exporter 'import';
use Gateway;

our @EXPORT = qw(figure joined tokens);


# A metric of the zone; -1: there is none.

sub figure
{
    my ($g, $name) = @_;

    my $body = get($g, '/metrics')->{body} // '';

    return $body =~ /^tbucket_$name\{zone="g"\} ([\d.]+)$/m ? $1 : -1;
}


# Whether all of them soon know of n nodes.

sub joined
{
    my ($n, @g) = @_;

    return wait_for(sub {
        return !grep { figure($_, 'lease_nodes') != $n } @g;
    }, 20);
}


# What a client has on all nodes, as one of them says; undef: it has no bucket.

sub tokens
{
    my ($g, $client) = @_;

    return (client_of($g, $client) // {})->{tokens};
}


1;
