package Gateway::Dns;

=head1 NAME

Gateway::Dns - a DNS server of one zone, whose answers change as told

=head1 SYNOPSIS

    my $dns = Gateway::Dns->start('a.test' => { A => ['127.0.0.1'] });

    print 'resolver 127.0.0.1:' . $dns->port . ' ipv6=off;';
    $dns->set('a.test' => { A => ['127.0.0.1', '127.0.0.2'], ttl => 1 });
    $dns->set('a.test' => { rcode => 2 });             # SERVFAIL
    print scalar $dns->queries('a.test', 'A');

=head1 DESCRIPTION

Over UDP and TCP.  A name has C<A>, C<AAAA>, C<CNAME> (lists) and C<SRV> (a
list of [priority, weight, port, target]), C<ttl> (1), and perhaps C<rcode>
(other than 0), C<silent>, or C<delay> in seconds.  Any other name does not
exist.  An answer that is longer than 512 bytes is truncated over UDP.

=cut

use v5.28;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Socket qw(AF_INET AF_INET6 inet_pton);
use Time::HiRes qw(sleep);

use Gateway::Process qw(finish fork_child free_port temp_dir);

my %TYPE = (A => 1, CNAME => 5, AAAA => 28, SRV => 33);
my %NAME = reverse %TYPE;


sub start
{
    my ($class, %zone) = @_;

    my $self = bless { dir => temp_dir(), port => free_port(),
                       zone => {} }, $class;

    $self->set(%zone);
    $self->start_again;

    return $self;
}


sub port { $_[0]{port} }
sub kill { finish($_[0]{pid}) }


sub start_again
{
    my ($self) = @_;

    my %at = (LocalAddr => '127.0.0.1', LocalPort => $self->{port},
              ReuseAddr => 1);
    my $udp = IO::Socket::INET->new(%at, Proto => 'udp') or die "udp: $!\n";
    my $tcp = IO::Socket::INET->new(%at, Listen => 64) or die "tcp: $!\n";

    $self->{pid} = fork_child(sub { $self->serve($udp, $tcp) });
}


# Changes names; undef: the name is there no more.

sub set
{
    my ($self, %zone) = @_;

    for my $name (keys %zone) {
        if (defined $zone{$name}) {
            $self->{zone}{$name} = $zone{$name};
        } else {
            delete $self->{zone}{$name};
        }
    }

    my $path = "$self->{dir}/zone";

    open(my $out, '>', "$path.new") or die "$path: $!\n";
    print $out JSON::PP::encode_json($self->{zone});
    close($out);
    rename("$path.new", $path);
}


# How often a name was asked for, by any type or by that one.

sub queries
{
    my ($self, $name, $type) = @_;

    open(my $in, '<', "$self->{dir}/queries") or return 0;

    my $wanted = defined $type ? "$name $type " : "$name ";

    return scalar grep { index($_, $wanted) == 0 } <$in>;
}


# How many questions came over TCP.

sub over_tcp
{
    my ($self) = @_;

    open(my $in, '<', "$self->{dir}/queries") or return 0;

    return scalar grep { / tcp$/ } <$in>;
}


# From here on, the child.

sub serve
{
    my ($self, $udp, $tcp) = @_;

    open($self->{log}, '>>', "$self->{dir}/queries") or die "queries: $!\n";
    $self->{log}->autoflush(1);
    $SIG{PIPE} = 'IGNORE';

    my $select = IO::Select->new($udp, $tcp);

    while (1) {
        for my $sock ($select->can_read) {
            if ($sock == $udp) {
                my $from = recv($udp, my $query, 4096, 0) // next;
                my $answer = $self->answer($query, 0) // next;
                send($udp, $answer, 0, $from);
            } elsif ($sock == $tcp) {
                $select->add($tcp->accept // next);
            } else {
                $self->stream($sock) or do {
                    $select->remove($sock);
                    close($sock);
                };
            }
        }
    }
}


sub stream
{
    my ($self, $sock) = @_;

    read($sock, my $length, 2) or return;
    read($sock, my $query, unpack('n', $length)) or return;

    my $answer = $self->answer($query, 1) // return 1;

    return syswrite($sock, pack('n/a*', $answer));
}


sub answer
{
    my ($self, $query, $stream) = @_;

    my ($id, undef, undef) = unpack('nnn', $query);
    my $at = 12;
    my @labels;

    while (my $n = ord substr($query, $at, 1)) {
        push @labels, substr($query, $at + 1, $n);
        $at += $n + 1;
    }

    my $name = lc join('.', @labels);
    my $type = $NAME{ unpack('n', substr($query, $at + 1, 2)) } // 'other';
    my $question = substr($query, 12, $at + 5 - 12);

    syswrite($self->{log}, "$name $type " . ($stream ? 'tcp' : 'udp') . "\n");

    my $found = $self->zone->{$name};

    return if $found && $found->{silent};

    sleep($found->{delay}) if $found && $found->{delay};

    my $rcode = $found ? $found->{rcode} // 0 : 3;
    my @records = $rcode ? () : records($found, $type);
    my $flags = 0x8180 | $rcode;
    my $body = join('', @records);

    if (!$stream && length($body) > 450) {
        $flags |= 0x0200;
        @records = ();
        $body = '';
    }

    return pack('n6', $id, $flags, 1, scalar @records, 0, 0)
           . $question . $body;
}


# What the file says, which is read when it is another one.

sub zone
{
    my ($self) = @_;

    open(my $in, '<', "$self->{dir}/zone") or die "zone: $!\n";
    my $file = join(' ', (stat($in))[1, 7], (Time::HiRes::stat($in))[9]);

    if ($file ne ($self->{file} // '')) {
        $self->{file} = $file;
        $self->{zone} = JSON::PP::decode_json(do { local $/; <$in> });
    }

    return $self->{zone};
}


sub records
{
    my ($found, $type) = @_;

    my $ttl = $found->{ttl} // 1;
    my @data;

    if ($type eq 'A') {
        @data = map { inet_pton(AF_INET, $_) } @{ $found->{A} // [] };
    } elsif ($type eq 'AAAA') {
        @data = map { inet_pton(AF_INET6, $_) } @{ $found->{AAAA} // [] };
    } elsif ($type eq 'SRV') {
        @data = map { pack('nnn', @$_[0 .. 2]) . packed($_->[3]) }
                @{ $found->{SRV} // [] };
    }

    my @records = map { pack('n n n N n/a*', 0xc00c, $TYPE{$type}, 1, $ttl,
                             $_) } @data;

    return @records if @records || !$found->{CNAME};

    return pack('n n n N n/a*', 0xc00c, $TYPE{CNAME}, 1, $ttl,
                packed($found->{CNAME}[0]));
}


sub packed { return join('', map { pack('C/a*', $_) } split /\./, $_[0]) . "\0" }


1;
