package Gateway::Certs;

=head1 NAME

Gateway::Certs - a CA and certificates that it has issued, by openssl

=head1 SYNOPSIS

    my $ca = Gateway::Certs->new;
    my ($cert, $key) = $ca->issue('redis.test', 'DNS:redis.test');
    my ($old, $its)  = $ca->issue('old', 'DNS:old', expired => 1);
    print $ca->file;

=cut

use v5.28;
use warnings;

use Gateway::Process qw(temp_dir);


sub new
{
    my ($class) = @_;

    my $self = bless { dir => temp_dir(), n => 0 }, $class;

    $self->openssl(qw(req -x509 -newkey ec -pkeyopt
                      ec_paramgen_curve:prime256v1 -nodes -days 30
                      -subj /CN=authority -keyout ca.key -out ca.pem));
    return $self;
}


sub file { return "$_[0]{dir}/ca.pem" }


sub issue
{
    my ($self, $name, $san, %option) = @_;

    my $file = 'cert' . $self->{n}++;
    my ($lib) = glob('/usr/lib/*/faketime/libfaketime.so.1');

    local $ENV{LD_PRELOAD} = $option{expired} ? $lib : '';
    local $ENV{FAKETIME} = $option{expired} ? '-10d' : '';

    open(my $out, '>', "$self->{dir}/$file.ext") or die $!;
    print $out "subjectAltName=$san\n";
    close($out);

    $self->openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
                      -nodes), '-subj', "/CN=$name", '-keyout', "$file.key",
                   '-out', "$file.csr");
    $self->openssl(qw(x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial
                      -days 5), '-in', "$file.csr", '-out', "$file.pem",
                   '-extfile', "$file.ext");

    return map { "$self->{dir}/$file.$_" } qw(pem key);
}


sub openssl
{
    my ($self, @args) = @_;

    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        chdir($self->{dir}) or die "$self->{dir}: $!\n";
        open(STDOUT, '>', '/dev/null');
        open(STDERR, '>>', 'openssl.log');
        exec('openssl', @args) or die "openssl: $!\n";
    }

    waitpid($pid, 0);
    die "openssl @args failed, see $self->{dir}/openssl.log\n" if $?;
}


1;
