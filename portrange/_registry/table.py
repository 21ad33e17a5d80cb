"""IANA's registry of service names and port numbers: generated, do not edit.

source:   https://www.iana.org/assignments/service-names-port-numbers/service-names-port-numbers.csv
snapshot: 2026-02-13 (the newest registration or modification in it)
sha-256:  361899a76482379959543892e489689a45f676feba5988f7d4d369517da5bbad
rows:     14499
refresh:  python tests/registry/generate.py

The data is in the public domain (CC0). tests/registry/generate.py has the rules by which rows became lines: port or
range, transports, name, description, and what the registry remarks (known unauthorized use).
"""

TABLE = """\
0	tcp udp	(reserved)	Reserved
1	tcp udp	tcpmux	TCP Port Service Multiplexer
2	tcp udp	(reserved)	Reserved	De-assigned on 2025-02-13, previously compressnet by [Bernie_Volz]
3	tcp udp	(reserved)	Reserved	De-assigned on 2025-02-13, previously compressnet by [Bernie_Volz]
4	tcp udp	(unassigned)	Unassigned
5	tcp udp	rje	Remote Job Entry
6	tcp udp	(unassigned)	Unassigned
7	tcp udp	echo	Echo
8	tcp udp	(unassigned)	Unassigned
9	tcp udp sctp dccp	discard	Discard
10	tcp udp	(unassigned)	Unassigned
11	tcp udp	systat	Active Users
12	tcp udp	(unassigned)	Unassigned
13	tcp udp	daytime	Daytime
14	tcp udp	(unassigned)	Unassigned
15	tcp	(unassigned)	Unassigned [was netstat]
15	udp	(unassigned)	Unassigned
16	tcp udp	(unassigned)	Unassigned
17	tcp udp	qotd	Quote of the Day
18	tcp udp	msp	Message Send Protocol (historic)
19	tcp udp	chargen	Character Generator
20	tcp udp sctp	ftp-data	File Transfer [Default Data]; sctp: FTP
21	tcp udp sctp	ftp	File Transfer Protocol [Control]; sctp: FTP
22	tcp udp sctp	ssh	The Secure Shell (SSH) Protocol; sctp: SSH
23	tcp udp	telnet	Telnet
24	tcp udp	(assigned)	any private mail system
25	tcp udp	smtp	Simple Mail Transfer
26	tcp udp	(unassigned)	Unassigned
27	tcp udp	nsw-fe	NSW User System FE
28	tcp udp	(unassigned)	Unassigned
29	tcp udp	msg-icp	MSG ICP
30	tcp udp	(unassigned)	Unassigned
31	tcp udp	msg-auth	MSG Authentication
32	tcp udp	(unassigned)	Unassigned
33	tcp udp	dsp	Display Support Protocol
34	tcp udp	(unassigned)	Unassigned
35	tcp udp	(assigned)	any private printer server
36	tcp udp	(unassigned)	Unassigned
37	tcp udp	time	Time
38	tcp udp	rap	Route Access Protocol
39	tcp udp	rlp	Resource Location Protocol
40	tcp udp	(unassigned)	Unassigned
41	tcp udp	graphics	Graphics
42	tcp udp	name	Host Name Server
42	tcp udp	nameserver	Host Name Server
43	tcp udp	nicname	Who Is
44	tcp udp	mpm-flags	MPM FLAGS Protocol
45	tcp udp	mpm	Message Processing Module [recv]
46	tcp udp	mpm-snd	MPM [default send]
47	tcp udp	(reserved)	Reserved	This entry has been removed on 2017-05-18.
48	tcp udp	auditd	Digital Audit Daemon
49	tcp udp	tacacs	Login Host Protocol (TACACS)
50	tcp udp	re-mail-ck	Remote Mail Checking Protocol
51		(reserved)	Reserved	This entry is being removed on 2013-05-24.
52	tcp udp	xns-time	XNS Time Protocol
53	tcp udp	domain	Domain Name Server
54	tcp udp	xns-ch	XNS Clearinghouse
55	tcp udp	isi-gl	ISI Graphics Language
56	tcp udp	xns-auth	XNS Authentication
57	tcp udp	(assigned)	any private terminal access
58	tcp udp	xns-mail	XNS Mail
59	tcp udp	(assigned)	any private file service
60	tcp udp	(unassigned)	Unassigned
61	tcp udp	(reserved)	Reserved	This entry has been removed on 2017-05-18.
62	tcp udp	acas	ACA Services
63	tcp udp	whoispp	whois++ IANA assigned this well-formed service name as a replacement for "whois++".
63	tcp udp	whois++	whois++
64	tcp udp	covia	Communications Integrator (CI)
65	tcp udp	tacacs-ds	TACACS-Database Service
66	tcp udp	sql-net	Oracle SQL*NET IANA assigned this well-formed service name as a replacement for "sql*net".
66	tcp udp	sql*net	Oracle SQL*NET
67	tcp udp	bootps	Bootstrap Protocol Server
68	tcp udp	bootpc	Bootstrap Protocol Client
69	tcp udp	tftp	Trivial File Transfer
70	tcp udp	gopher	Gopher
71	tcp udp	netrjs-1	Remote Job Service
72	tcp udp	netrjs-2	Remote Job Service
73	tcp udp	netrjs-3	Remote Job Service
74	tcp udp	netrjs-4	Remote Job Service
75	tcp udp	(assigned)	any private dial out service
76	tcp udp	deos	Distributed External Object Store
77	tcp udp	(assigned)	any private RJE service
78	tcp udp	vettcp	vettcp
79	tcp udp	finger	Finger	Unauthorized use by some mail users (see [RFC4146] for details)
80	tcp udp sctp	http	World Wide Web HTTP; sctp: HTTP
80	tcp udp	www	World Wide Web HTTP
80	tcp udp	www-http	World Wide Web HTTP
81		(unassigned)	Unassigned
82	tcp udp	xfer	XFER Utility
83	tcp udp	mit-ml-dev	MIT ML Device
84	tcp udp	ctf	Common Trace Facility
85	tcp udp	mit-ml-dev	MIT ML Device
86	tcp udp	mfcobol	Micro Focus Cobol
87	tcp udp	(assigned)	any private terminal link
88	tcp udp	kerberos	Kerberos
89	tcp udp	su-mit-tg	SU/MIT Telnet Gateway
90	tcp udp	dnsix	DNSIX Securit Attribute Token Map	PORT 90 also being used unofficially by Pointcast
91	tcp udp	mit-dov	MIT Dover Spooler
92	tcp udp	npp	Network Printing Protocol
93	tcp udp	dcp	Device Control Protocol
94	tcp udp	objcall	Tivoli Object Dispatcher
95	tcp udp	supdup	SUPDUP
96	tcp udp	dixie	DIXIE Protocol Specification
97	tcp udp	swift-rvf	Swift Remote Virtural File Protocol
98	tcp udp	tacnews	TAC News
99	tcp udp	metagram	Metagram Relay
100		(unassigned)	Unassigned	Known Unauthorized Use on 100
101	tcp udp	hostname	NIC Host Name Server
102	tcp udp	iso-tsap	ISO-TSAP Class 0
103	tcp udp	gppitnp	Genesis Point-to-Point Trans Net
104	tcp udp	acr-nema	ACR-NEMA Digital Imag. & Comm. 300
105	tcp udp	cso	CCSO name server protocol
105	tcp udp	csnet-ns	Mailbox Name Nameserver
106	tcp udp	3com-tsmux	3COM-TSMUX	Known Unauthorized Use on 106
107	tcp udp	rtelnet	Remote Telnet Service
108	tcp udp	snagas	SNA Gateway Access Server
109	tcp udp	pop2	Post Office Protocol - Version 2
110	tcp udp	pop3	Post Office Protocol - Version 3
111	tcp udp	sunrpc	SUN Remote Procedure Call
112	tcp udp	mcidas	McIDAS Data Transmission Protocol
113	tcp	ident
113	tcp udp	auth	Authentication Service
114		(unassigned)	unassigned	Deprecated June 2004
115	tcp udp	sftp	Simple File Transfer Protocol
116	tcp udp	ansanotify	ANSA REX Notify
117	tcp udp	uucp-path	UUCP Path Service
118	tcp udp	sqlserv	SQL Services
119	tcp udp	nntp	Network News Transfer Protocol
120	tcp udp	cfdptkt	CFDPTKT
121	tcp udp	erpc	Encore Expedited Remote Pro.Call
122	tcp udp	smakynet	SMAKYNET
123	tcp udp	ntp	Network Time Protocol
124	tcp udp	ansatrader	ANSA REX Trader
125	tcp udp	locus-map	Locus PC-Interface Net Map Ser
126	tcp udp	nxedit	NXEdit
127	tcp udp	locus-con	Locus PC-Interface Conn Server
128	tcp udp	gss-xlicen	GSS X License Verification
129	tcp udp	pwdgen	Password Generator Protocol
130	tcp udp	cisco-fna	cisco FNATIVE
131	tcp udp	cisco-tna	cisco TNATIVE
132	tcp udp	cisco-sys	cisco SYSMAINT
133	tcp udp	statsrv	Statistics Service
134	tcp udp	ingres-net	INGRES-NET Service
135	tcp udp	epmap	DCE endpoint resolution
136	tcp udp	profile	PROFILE Naming System
137	tcp udp	netbios-ns	NETBIOS Name Service
138	tcp udp	netbios-dgm	NETBIOS Datagram Service
139	tcp udp	netbios-ssn	NETBIOS Session Service
140	tcp udp	emfis-data	EMFIS Data Service
141	tcp udp	emfis-cntl	EMFIS Control Service
142	tcp udp	bl-idm	Britton-Lee IDM
143	tcp	imap	Internet Message Access Protocol
143	udp	(reserved)	Reserved
144	tcp udp	uma	Universal Management Architecture
145	tcp udp	uaac	UAAC Protocol
146	tcp udp	iso-tp0	ISO-IP0
147	tcp udp	iso-ip	ISO-IP
148	tcp udp	jargon	Jargon
149	tcp udp	aed-512	AED 512 Emulation Service
150	tcp udp	sql-net	SQL-NET
151	tcp udp	hems	HEMS
152	tcp udp	bftp	Background File Transfer Program
153	tcp udp	sgmp	SGMP
154	tcp udp	netsc-prod	NETSC
155	tcp udp	netsc-dev	NETSC
156	tcp udp	sqlsrv	SQL Service
157	tcp udp	knet-cmp	KNET/VM Command/Message Protocol
158	tcp udp	pcmail-srv	PCMail Server
159	tcp udp	nss-routing	NSS-Routing
160	tcp udp	sgmp-traps	SGMP-TRAPS
161	tcp udp	snmp	SNMP
162	tcp udp	snmptrap	SNMPTRAP
163	tcp udp	cmip-man	CMIP/TCP Manager
164	tcp udp	cmip-agent	CMIP/TCP Agent
165	tcp udp	xns-courier	Xerox
166	tcp udp	s-net	Sirius Systems
167	tcp udp	namp	NAMP
168	tcp udp	rsvd	RSVD
169	tcp udp	send	SEND
170	tcp udp	print-srv	Network PostScript
171	tcp udp	multiplex	Network Innovations Multiplex
172	tcp udp	cl-1	Network Innovations CL/1 IANA assigned this well-formed service name as a replacement for "cl/1".
172	tcp udp	cl/1	Network Innovations CL/1
173	tcp udp	xyplex-mux	Xyplex
174	tcp udp	mailq	MAILQ
175	tcp udp	vmnet	VMNET
176	tcp udp	genrad-mux	GENRAD-MUX
177	tcp udp	xdmcp	X Display Manager Control Protocol
178	tcp udp	nextstep	NextStep Window Server
179	tcp udp sctp	bgp	Border Gateway Protocol; sctp: BGP
180	tcp udp	ris	Intergraph
181	tcp udp	unify	Unify
182	tcp udp	audit	Unisys Audit SITP
183	tcp udp	ocbinder	OCBinder
184	tcp udp	ocserver	OCServer
185	tcp udp	remote-kis	Remote-KIS
186	tcp udp	kis	KIS Protocol
187	tcp udp	aci	Application Communication Interface
188	tcp udp	mumps	Plus Five's MUMPS
189	tcp udp	qft	Queued File Transport
190	tcp udp	gacp	Gateway Access Control Protocol
191	tcp udp	prospero	Prospero Directory Service
192	tcp udp	osu-nms	OSU Network Monitoring System
193	tcp udp	srmp	Spider Remote Monitoring Protocol
194	tcp udp	irc	Internet Relay Chat Protocol
195	tcp udp	dn6-nlm-aud	DNSIX Network Level Module Audit
196	tcp udp	dn6-smm-red	DNSIX Session Mgt Module Audit Redir
197	tcp udp	dls	Directory Location Service
198	tcp udp	dls-mon	Directory Location Service Monitor
199	tcp udp	smux	SMUX
200	tcp udp	src	IBM System Resource Controller
201	tcp udp	at-rtmp	AppleTalk Routing Maintenance
202	tcp udp	at-nbp	AppleTalk Name Binding
203	tcp udp	at-3	AppleTalk Unused
204	tcp udp	at-echo	AppleTalk Echo
205	tcp udp	at-5	AppleTalk Unused
206	tcp udp	at-zis	AppleTalk Zone Information
207	tcp udp	at-7	AppleTalk Unused
208	tcp udp	at-8	AppleTalk Unused
209	tcp udp	qmtp	The Quick Mail Transfer Protocol
210	tcp udp	z39-50	ANSI Z39.50 IANA assigned this well-formed service name as a replacement for "z39.50".
210	tcp udp	z39.50	ANSI Z39.50
211	tcp udp	914c-g	Texas Instruments 914C/G Terminal IANA assigned this well-formed service name as a replacement for "914c/g".
211	tcp udp	914c/g	Texas Instruments 914C/G Terminal
212	tcp udp	anet	ATEXSSTR
213	tcp udp	ipx	IPX
214	tcp udp	vmpwscs	VM PWSCS
215	tcp udp	softpc	Insignia Solutions
216	tcp udp	CAIlic	Computer Associates Int'l License Server
217	tcp udp	dbase	dBASE Unix
218	tcp udp	mpp	Netix Message Posting Protocol
219	tcp udp	uarps	Unisys ARPs
220	tcp udp	imap3	Interactive Mail Access Protocol v3
221	tcp udp	fln-spx	Berkeley rlogind with SPX auth
222	tcp udp	rsh-spx	Berkeley rshd with SPX auth
223	tcp udp	cdc	Certificate Distribution Center
224	tcp udp	masqdialer	masqdialer
225-241		(reserved)	Reserved
242	tcp udp	direct	Direct
243	tcp udp	sur-meas	Survey Measurement
244	tcp udp	inbusiness	inbusiness
245	tcp udp	link	LINK
246	tcp udp	dsp3270	Display Systems Protocol
247	tcp udp	subntbcst-tftp	SUBNTBCST_TFTP IANA assigned this well-formed service name as a replacement for "subntbcst_tftp".
247	tcp udp	subntbcst_tftp	SUBNTBCST_TFTP
248	tcp udp	bhfhs	bhfhs
249-255		(reserved)	Reserved
256	tcp udp	rap	RAP
257	tcp udp	set	Secure Electronic Transaction
258		(unassigned)	Unassigned
259	tcp udp	esro-gen	Efficient Short Remote Operations
260	tcp udp	openport	Openport
261	tcp udp	nsiiops	IIOP Name Service over TLS/SSL
262	tcp udp	arcisdms	Arcisdms
263	tcp udp	hdap	HDAP
264	tcp udp	bgmp	BGMP
265	tcp udp	x-bone-ctl	X-Bone CTL
266	tcp udp	sst	SCSI on ST
267	tcp udp	td-service	Tobit David Service Layer
268	tcp udp	td-replica	Tobit David Replica
269	tcp udp	manet	MANET Protocols
270	tcp	(reserved)	Reserved
270	udp	gist	Q-mode encapsulation for GIST messages
271	tcp	pt-tls	IETF Network Endpoint Assessment (NEA) Posture Transport Protocol over TLS (PT-TLS)
271	udp	(reserved)	Reserved
272-279		(unassigned)	Unassigned
280	tcp udp	http-mgmt	http-mgmt
281	tcp udp	personal-link	Personal Link
282	tcp udp	cableport-ax	Cable Port A/X
283	tcp udp	rescap	rescap
284	tcp udp	corerjd	corerjd
285		(unassigned)	Unassigned
286	tcp udp	fxp	FXP Communication
287	tcp udp	k-block	K-BLOCK
288-299		(unassigned)	Unassigned
300	tcp	tacacss	TLS Secure Login Host Protocol (TACACSS)
300	udp	(reserved)	Reserved
301-307		(unassigned)	Unassigned
308	tcp udp	novastorbakcup	Novastor Backup
309	tcp udp	entrusttime	EntrustTime
310	tcp udp	bhmds	bhmds
311	tcp udp	asip-webadmin	AppleShare IP WebAdmin
312	tcp udp	vslmp	VSLMP
313	tcp udp	magenta-logic	Magenta Logic
314	tcp udp	opalis-robot	Opalis Robot
315	tcp udp	dpsi	DPSI
316	tcp udp	decauth	decAuth
317	tcp udp	zannet	Zannet
318	tcp udp	pkix-timestamp	PKIX TimeStamp
319	tcp udp	ptp-event	PTP Event
320	tcp udp	ptp-general	PTP General
321	tcp udp	pip	PIP
322	tcp udp	rtsps	RTSPS
323	tcp	rpki-rtr	Resource PKI to Router Protocol
323	udp	(reserved)	Reserved
324	tcp	rpki-rtr-tls	Resource PKI to Router Protocol over TLS
324	udp	(reserved)	Reserved
325-332		(unassigned)	Unassigned
333	tcp udp	texar	Texar Security Port
334-343		(unassigned)	Unassigned
344	tcp udp	pdap	Prospero Data Access Protocol
345	tcp udp	pawserv	Perf Analysis Workbench
346	tcp udp	zserv	Zebra server
347	tcp udp	fatserv	Fatmen Server
348	tcp udp	csi-sgwp	Cabletron Management Protocol
349	tcp udp	mftp	mftp
350	tcp udp	matip-type-a	MATIP Type A
351	tcp udp	matip-type-b	MATIP Type B
351	tcp udp	bhoetty	bhoetty
352	tcp udp	dtag-ste-sb	DTAG
352	tcp udp	bhoedap4	bhoedap4
353	tcp udp	ndsauth	NDSAUTH
354	tcp udp	bh611	bh611
355	tcp udp	datex-asn	DATEX-ASN
356	tcp udp	cloanto-net-1	Cloanto Net 1
357	tcp udp	bhevent	bhevent
358	tcp udp	shrinkwrap	Shrinkwrap
359	tcp udp	(reserved)	Reserved	De-Assigned on 2023-11-16.
360	tcp udp	scoi2odialog	scoi2odialog
361	tcp udp	semantix	Semantix
362	tcp udp	srssend	SRS Send
363	tcp udp	rsvp-tunnel	RSVP Tunnel IANA assigned this well-formed service name as a replacement for "rsvp_tunnel".
363	tcp udp	rsvp_tunnel	RSVP Tunnel
364	tcp udp	aurora-cmgr	Aurora CMGR
365	tcp udp	dtk	DTK
366	tcp udp	odmr	ODMR
367	tcp udp	mortgageware	MortgageWare
368	tcp udp	qbikgdp	QbikGDP
369	tcp udp	rpc2portmap	rpc2portmap
370	tcp udp	codaauth2	codaauth2
371	tcp udp	clearcase	Clearcase
372	tcp udp	ulistproc	ListProcessor
373	tcp udp	legent-1	Legent Corporation
374	tcp udp	legent-2	Legent Corporation
375	tcp udp	hassle	Hassle
376	tcp udp	nip	Amiga Envoy Network Inquiry Protocol
377	tcp udp	tnETOS	NEC Corporation
378	tcp udp	dsETOS	NEC Corporation
379	tcp udp	is99c	TIA/EIA/IS-99 modem client
380	tcp udp	is99s	TIA/EIA/IS-99 modem server
381	tcp udp	hp-collector	hp performance data collector
382	tcp udp	hp-managed-node	hp performance data managed node
383	tcp udp	hp-alarm-mgr	hp performance data alarm manager
384	tcp udp	arns	A Remote Network Server System
385	tcp udp	ibm-app	IBM Application
386	tcp udp	asa	ASA Message Router Object Def.
387	tcp udp	aurp	Appletalk Update-Based Routing Pro.
388	tcp udp	unidata-ldm	Unidata LDM
389	tcp udp	ldap	Lightweight Directory Access Protocol
390	tcp udp	uis	UIS
391	tcp udp	synotics-relay	SynOptics SNMP Relay Port
392	tcp udp	synotics-broker	SynOptics Port Broker Port
393	tcp udp	meta5	Meta5
394	tcp udp	embl-ndt	EMBL Nucleic Data Transfer
395	tcp udp	netcp	NetScout Control Protocol
396	tcp udp	netware-ip	Novell Netware over IP
397	tcp udp	mptn	Multi Protocol Trans. Net.
398	tcp udp	kryptolan	Kryptolan
399	tcp udp	iso-tsap-c2	ISO Transport Class 2 Non-Control over TCP; udp: ISO Transport Class 2 Non-Control over UDP
400	tcp udp	osb-sd	Oracle Secure Backup
401	tcp udp	ups	Uninterruptible Power Supply
402	tcp udp	genie	Genie Protocol
403	tcp udp	decap	decap
404	tcp udp	nced	nced
405	tcp udp	ncld	ncld
406	tcp udp	imsp	Interactive Mail Support Protocol
407	tcp udp	timbuktu	Timbuktu
408	tcp udp	prm-sm	Prospero Resource Manager Sys. Man.
409	tcp udp	prm-nm	Prospero Resource Manager Node Man.
410	tcp udp	decladebug	DECLadebug Remote Debug Protocol
411	tcp udp	rmt	Remote MT Protocol
412	tcp udp	synoptics-trap	Trap Convention Port
413	tcp udp	smsp	Storage Management Services Protocol
414	tcp udp	infoseek	InfoSeek
415	tcp udp	bnet	BNet
416	tcp udp	silverplatter	Silverplatter
417	tcp udp	onmux	Onmux
418	tcp udp	hyper-g	Hyper-G
419	tcp udp	ariel1	Ariel 1
420	tcp udp	smpte	SMPTE
421	tcp udp	ariel2	Ariel 2
422	tcp udp	ariel3	Ariel 3
423	tcp udp	opc-job-start	IBM Operations Planning and Control Start
424	tcp udp	opc-job-track	IBM Operations Planning and Control Track
425	tcp udp	icad-el	ICAD
426	tcp udp	smartsdp	smartsdp
427	tcp udp	svrloc	Server Location
428	tcp udp	ocs-cmu	OCS_CMU IANA assigned this well-formed service name as a replacement for "ocs_cmu".
428	tcp udp	ocs_cmu	OCS_CMU
429	tcp udp	ocs-amu	OCS_AMU IANA assigned this well-formed service name as a replacement for "ocs_amu".
429	tcp udp	ocs_amu	OCS_AMU
430	tcp udp	utmpsd	UTMPSD
431	tcp udp	utmpcd	UTMPCD
432	tcp udp	iasd	IASD
433	tcp udp	nnsp	NNTP for transit servers (NNSP)
434	tcp udp	mobileip-agent	MobileIP-Agent
435	tcp udp	mobilip-mn	MobilIP-MN
436	tcp udp	dna-cml	DNA-CML
437	tcp udp	comscm	comscm
438	tcp udp	dsfgw	dsfgw
439	tcp udp	dasp	dasp
440	tcp udp	sgcp	sgcp
441	tcp udp	decvms-sysmgt	decvms-sysmgt
442	tcp udp	cvc-hostd	cvc_hostd IANA assigned this well-formed service name as a replacement for "cvc_hostd".
442	tcp udp	cvc_hostd	cvc_hostd
443	tcp udp sctp	https	http protocol over TLS/SSL; sctp: HTTPS
444	tcp udp	snpp	Simple Network Paging Protocol
445	tcp udp	microsoft-ds	Microsoft-DS
446	tcp udp	ddm-rdb	DDM-Remote Relational Database Access
447	tcp udp	ddm-dfm	DDM-Distributed File Management
448	tcp udp	ddm-ssl	DDM-Remote DB Access Using Secure Sockets
449	tcp udp	as-servermap	AS Server Mapper
450	tcp udp	tserver	Computer Supported Telecomunication Applications
451	tcp udp	sfs-smp-net	Cray Network Semaphore server
452	tcp udp	sfs-config	Cray SFS config server
453	tcp udp	creativeserver	CreativeServer
454	tcp udp	contentserver	ContentServer
455	tcp udp	creativepartnr	CreativePartnr
456	tcp	macon-tcp	macon-tcp
456	udp	macon-udp	macon-udp
457	tcp udp	scohelp	scohelp
458	tcp udp	appleqtc	apple quick time
459	tcp udp	ampr-rcmd	ampr-rcmd
460	tcp udp	skronk	skronk
461	tcp udp	datasurfsrv	DataRampSrv
462	tcp udp	datasurfsrvsec	DataRampSrvSec
463	tcp udp	alpes	alpes
464	tcp udp	kpasswd	kpasswd
465	tcp	urd	URL Rendezvous Directory for SSM
465	tcp	submissions	Message Submission over TLS protocol
465	udp	igmpv3lite	IGMP over UDP for SSM
466	tcp udp	digital-vrc	digital-vrc
467	tcp udp	mylex-mapd	mylex-mapd
468	tcp udp	photuris	proturis
469	tcp udp	rcp	Radio Control Protocol
470	tcp udp	scx-proxy	scx-proxy
471	tcp udp	mondex	Mondex
472	tcp udp	ljk-login	ljk-login
473	tcp udp	hybrid-pop	hybrid-pop
474	tcp	tn-tl-w1	tn-tl-w1
474	udp	tn-tl-w2	tn-tl-w2
475	tcp udp	tcpnethaspsrv	tcpnethaspsrv
476	tcp udp	tn-tl-fd1	tn-tl-fd1
477	tcp udp	ss7ns	ss7ns
478	tcp udp	spsc	spsc
479	tcp udp	iafserver	iafserver
480	tcp udp	iafdbase	iafdbase
481	tcp udp	ph	Ph service
482	tcp udp	bgs-nsi	bgs-nsi
483	tcp udp	ulpnet	ulpnet
484	tcp udp	integra-sme	Integra Software Management Environment
485	tcp udp	powerburst	Air Soft Power Burst
486	tcp udp	avian	avian
487	tcp udp	saft	saft Simple Asynchronous File Transfer
488	tcp udp	gss-http	gss-http
489	tcp udp	nest-protocol	nest-protocol
490	tcp udp	micom-pfs	micom-pfs
491	tcp udp	go-login	go-login
492	tcp udp	ticf-1	Transport Independent Convergence for FNA
493	tcp udp	ticf-2	Transport Independent Convergence for FNA
494	tcp udp	pov-ray	POV-Ray
495	tcp udp	intecourier	intecourier
496	tcp udp	pim-rp-disc	PIM-RP-DISC
497	tcp udp	retrospect	Retrospect backup and restore service
498	tcp udp	siam	siam
499	tcp udp	iso-ill	ISO ILL Protocol
500	tcp udp	isakmp	isakmp
501	tcp udp	stmf	STMF
502	tcp udp	mbap	Modbus Application Protocol
503	tcp udp	intrinsa	Intrinsa
504	tcp udp	citadel	citadel
505	tcp udp	mailbox-lm	mailbox-lm
506	tcp udp	ohimsrv	ohimsrv
507	tcp udp	crs	crs
508	tcp udp	xvttp	xvttp
509	tcp udp	snare	snare
510	tcp udp	fcp	FirstClass Protocol
511	tcp udp	passgo	PassGo
512	tcp	exec	remote process execution; authentication performed using passwords and UNIX login names
512	udp	comsat
512	udp	biff	used by mail system to notify users of new mail received; currently receives messages only from processes on the same machine
513	tcp	login	remote login a la telnet; automatic authentication performed based on priviledged port numbers and distributed data bases which identify "authentication domains"
513	udp	who	maintains data bases showing who's logged in to machines on a local net and the load average of the machine
514	tcp	shell	cmd like exec, but automatic authentication is performed as for login server
514	udp	syslog
515	tcp udp	printer	spooler
516	tcp udp	videotex	videotex
517	tcp udp	talk	like tenex link, but across machine - unfortunately, doesn't use link protocol (this is actually just a rendezvous port from which a tcp connection is established)
518	tcp udp	ntalk
519	tcp udp	utime	unixtime
520	tcp	efs	extended file name server
520	udp	router	local routing process (on site); uses variant of Xerox NS routing information protocol - RIP
521	tcp udp	ripng	ripng
522	tcp udp	ulp	ULP
523	tcp udp	ibm-db2	IBM-DB2
524	tcp udp	ncp	NCP
525	tcp udp	timed	timeserver
526	tcp udp	tempo	newdate
527	tcp udp	stx	Stock IXChange
528	tcp udp	custix	Customer IXChange
529	tcp udp	irc-serv	IRC-SERV
530	tcp udp	courier	rpc
531	tcp udp	conference	chat
532	tcp udp	netnews	readnews
533	tcp udp	netwall	for emergency broadcasts
534	tcp udp	windream	windream Admin
535	tcp udp	iiop	iiop
536	tcp udp	opalis-rdv	opalis-rdv
537	tcp udp	nmsp	Networked Media Streaming Protocol
538	tcp udp	gdomap	gdomap
539	tcp udp	apertus-ldp	Apertus Technologies Load Determination
540	tcp udp	uucp	uucpd
541	tcp udp	uucp-rlogin	uucp-rlogin
542	tcp udp	commerce	commerce
543	tcp udp	klogin
544	tcp udp	kshell	krcmd
545	tcp udp	appleqtcsrvr	appleqtcsrvr
546	tcp udp	dhcpv6-client	DHCPv6 Client
547	tcp udp	dhcpv6-server	DHCPv6 Server
548	tcp udp	afpovertcp	AFP over TCP
549	tcp udp	idfp	IDFP
550	tcp udp	new-rwho	new-who
551	tcp udp	cybercash	cybercash
552	tcp udp	devshr-nts	DeviceShare
553	tcp udp	pirp	pirp
554	tcp udp	rtsp	Real Time Streaming Protocol (RTSP)
555	tcp udp	dsf
556	tcp udp	remotefs	rfs server
557	tcp udp	openvms-sysipc	openvms-sysipc
558	tcp udp	sdnskmp	SDNSKMP
559	tcp udp	teedtap	TEEDTAP
560	tcp udp	rmonitor	rmonitord
561	tcp udp	monitor
562	tcp udp	chshell	chcmd
563	tcp udp	nntps	nntp protocol over TLS/SSL (was snntp)
564	tcp udp	9pfs	plan 9 file service
565	tcp udp	whoami	whoami
566	tcp udp	streettalk	streettalk
567	tcp udp	banyan-rpc	banyan-rpc
568	tcp udp	ms-shuttle	microsoft shuttle
569	tcp udp	ms-rome	microsoft rome
570	tcp udp	meter	demon
571	tcp udp	meter	udemon
572	tcp udp	sonar	sonar
573	tcp udp	banyan-vip	banyan-vip
574	tcp udp	ftp-agent	FTP Software Agent System
575	tcp udp	vemmi	VEMMI
576	tcp udp	ipcd	ipcd
577	tcp udp	vnas	vnas
578	tcp udp	ipdd	ipdd
579	tcp udp	decbsrv	decbsrv
580	tcp udp	sntp-heartbeat	SNTP HEARTBEAT
581	tcp udp	bdp	Bundle Discovery Protocol
582	tcp udp	scc-security	SCC Security
583	tcp udp	philips-vc	Philips Video-Conferencing
584	tcp udp	keyserver	Key Server
585		(unassigned)	De-registered	Use of 585 is not recommended, use 993 instead
586	tcp udp	password-chg	Password Change
587	tcp udp	submission	Message Submission
588	tcp udp	cal	CAL
589	tcp udp	eyelink	EyeLink
590	tcp udp	tns-cml	TNS CML
591	tcp udp	http-alt	FileMaker, Inc. - HTTP Alternate (see Port 80)
592	tcp udp	eudora-set	Eudora Set
593	tcp udp	http-rpc-epmap	HTTP RPC Ep Map
594	tcp udp	tpip	TPIP
595	tcp udp	cab-protocol	CAB Protocol
596	tcp udp	smsd	SMSD
597	tcp udp	ptcnameservice	PTC Name Service
598	tcp udp	sco-websrvrmg3	SCO Web Server Manager 3
599	tcp udp	acp	Aeolon Core Protocol
600	tcp udp	ipcserver	Sun IPC server
601	tcp udp	syslog-conn	Reliable Syslog Service
602	tcp udp	xmlrpc-beep	XML-RPC over BEEP
603	tcp udp	idxp	IDXP
604	tcp udp	tunnel	TUNNEL
605	tcp udp	soap-beep	SOAP over BEEP
606	tcp udp	urm	Cray Unified Resource Manager
607	tcp udp	nqs	nqs
608	tcp udp	sift-uft	Sender-Initiated/Unsolicited File Transfer
609	tcp udp	npmp-trap	npmp-trap
610	tcp udp	npmp-local	npmp-local
611	tcp udp	npmp-gui	npmp-gui
612	tcp udp	hmmp-ind	HMMP Indication
613	tcp udp	hmmp-op	HMMP Operation
614	tcp udp	sshell	SSLshell
615	tcp udp	sco-inetmgr	Internet Configuration Manager
616	tcp udp	sco-sysmgr	SCO System Administration Server
617	tcp udp	sco-dtmgr	SCO Desktop Administration Server
618	tcp udp	dei-icda	DEI-ICDA
619	tcp udp	compaq-evm	Compaq EVM
620	tcp udp	sco-websrvrmgr	SCO WebServer Manager
621	tcp udp	escp-ip	ESCP
622	tcp udp	collaborator	Collaborator
623	tcp	oob-ws-http	DMTF out-of-band web services management protocol
623	udp	asf-rmcp	ASF Remote Management and Control Protocol
624	tcp udp	cryptoadmin	Crypto Admin
625	tcp udp	dec-dlm	DEC DLM IANA assigned this well-formed service name as a replacement for "dec_dlm".
625	tcp udp	dec_dlm	DEC DLM
626	tcp udp	asia	ASIA
627	tcp udp	passgo-tivoli	PassGo Tivoli
628	tcp udp	qmqp	QMQP
629	tcp udp	3com-amp3	3Com AMP3
630	tcp udp	rda	RDA
631	tcp udp	ipp	IPP (Internet Printing Protocol)
631	tcp	ipps	Internet Printing Protocol over HTTPS
632	tcp udp	bmpp	bmpp
633	tcp udp	servstat	Service Status update (Sterling Software)
634	tcp udp	ginad	ginad
635	tcp udp	rlzdbase	RLZ DBase
636	tcp udp	ldaps	ldap protocol over TLS/SSL (was sldap)
637	tcp udp	lanserver	lanserver
638	tcp udp	mcns-sec	mcns-sec
639	tcp udp	msdp	MSDP
640	tcp udp	entrust-sps	entrust-sps
641	tcp udp	repcmd	repcmd
642	tcp udp	esro-emsdp	ESRO-EMSDP V1.3
643	tcp udp	sanity	SANity
644	tcp udp	dwr	dwr
645	tcp udp	pssc	PSSC
646	tcp udp	ldp	LDP
647	tcp udp	dhcp-failover	DHCP Failover
648	tcp udp	rrp	Registry Registrar Protocol (RRP)
649	tcp udp	cadview-3d	Cadview-3d - streaming 3d models over the internet
650	tcp udp	obex	OBEX
651	tcp udp	ieee-mms	IEEE MMS
652	tcp udp	hello-port	HELLO_PORT
653	tcp udp	repscmd	RepCmd
654	tcp udp	aodv	AODV
655	tcp udp	tinc	TINC
656	tcp udp	spmp	SPMP
657	tcp udp	rmc	RMC
658	tcp udp	tenfold	TenFold
659		(unassigned)	Removed
660	tcp udp	mac-srvr-admin	MacOS Server Admin
661	tcp udp	hap	HAP
662	tcp udp	pftp	PFTP
663	tcp udp	purenoise	PureNoise
664	tcp	oob-ws-https	DMTF out-of-band secure web services management protocol
664	udp	asf-secure-rmcp	ASF Secure Remote Management and Control Protocol
665	tcp udp	sun-dr	Sun DR
666	tcp udp	mdqs
666	tcp udp	doom	doom Id Software
667	tcp udp	disclose	campaign contribution disclosures - SDR Technologies
668	tcp udp	mecomm	MeComm
669	tcp udp	meregister	MeRegister
670	tcp udp	vacdsm-sws	VACDSM-SWS
671	tcp udp	vacdsm-app	VACDSM-APP
672	tcp udp	vpps-qua	VPPS-QUA
673	tcp udp	cimplex	CIMPLEX
674	tcp udp	acap	ACAP
675	tcp udp	dctp	DCTP
676	tcp udp	vpps-via	VPPS Via
677	tcp udp	vpp	Virtual Presence Protocol
678	tcp udp	ggf-ncp	GNU Generation Foundation NCP
679	tcp udp	mrm	MRM
680	tcp udp	entrust-aaas	entrust-aaas
681	tcp udp	entrust-aams	entrust-aams
682	tcp udp	xfr	XFR
683	tcp udp	corba-iiop	CORBA IIOP
684	tcp udp	corba-iiop-ssl	CORBA IIOP SSL
685	tcp udp	mdc-portmapper	MDC Port Mapper
686	tcp udp	hcp-wismar	Hardware Control Protocol Wismar
687	tcp udp	asipregistry	asipregistry
688	tcp udp	realm-rusd	ApplianceWare managment protocol
689	tcp udp	nmap	NMAP
690	tcp udp	vatp	Velneo Application Transfer Protocol
691	tcp udp	msexch-routing	MS Exchange Routing
692	tcp udp	hyperwave-isp	Hyperwave-ISP
693	tcp udp	connendp	almanid Connection Endpoint
694	tcp udp	ha-cluster	ha-cluster
695	tcp udp	ieee-mms-ssl	IEEE-MMS-SSL
696	tcp udp	rushd	RUSHD
697	tcp udp	uuidgen	UUIDGEN
698	tcp udp	olsr	OLSR
699	tcp udp	accessnetwork	Access Network
700	tcp udp	epp	Extensible Provisioning Protocol
701	tcp udp	lmp	Link Management Protocol (LMP)
702	tcp udp	iris-beep	IRIS over BEEP
703		(unassigned)	Unassigned
704	tcp udp	elcsd	errlog copy/server daemon
705	tcp udp	agentx	AgentX
706	tcp udp	silc	SILC
707	tcp udp	borland-dsj	Borland DSJ
708		(unassigned)	Unassigned
709	tcp udp	entrust-kmsh	Entrust Key Management Service Handler
710	tcp udp	entrust-ash	Entrust Administration Service Handler
711	tcp udp	cisco-tdp	Cisco TDP
712	tcp udp	tbrpf	TBRPF
713	tcp udp	iris-xpc	IRIS over XPC
714	tcp udp	iris-xpcs	IRIS over XPCS
715	tcp udp	iris-lwz	IRIS-LWZ
716	udp	pana	PANA Messages
717-728		(unassigned)	Unassigned
729	tcp udp	netviewdm1	IBM NetView DM/6000 Server/Client
730	tcp udp	netviewdm2	IBM NetView DM/6000 send/tcp
731	tcp udp	netviewdm3	IBM NetView DM/6000 receive/tcp
732-740		(unassigned)	Unassigned
741	tcp udp	netgw	netGW
742	tcp udp	netrcs	Network based Rev. Cont. Sys.
743		(unassigned)	Unassigned
744	tcp udp	flexlm	Flexible License Manager
745-746		(unassigned)	Unassigned
747	tcp udp	fujitsu-dev	Fujitsu Device Control
748	tcp udp	ris-cm	Russell Info Sci Calendar Manager
749	tcp udp	kerberos-adm	kerberos administration
750	tcp	rfile
750	udp	loadav
750	udp	kerberos-iv	kerberos version iv
751	tcp udp	pump
752	tcp udp	qrh
753	tcp udp	rrh
754	tcp udp	tell	send
755-757		(unassigned)	Unassigned
758	tcp udp	nlogin
759	tcp udp	con
760	tcp udp	ns
761	tcp udp	rxe
762	tcp udp	quotad
763	tcp udp	cycleserv
764	tcp udp	omserv
765	tcp udp	webster
766		(unassigned)	Unassigned
767	tcp udp	phonebook	phone
768		(unassigned)	Unassigned
769	tcp udp	vid
770	tcp udp	cadlock
771	tcp udp	rtip
772	tcp udp	cycleserv2
773	tcp	submit
773	udp	notify
774	tcp	rpasswd
774	udp	acmaint-dbd	IANA assigned this well-formed service name as a replacement for "acmaint_dbd".
774	udp	acmaint_dbd
775	tcp	entomb
775	udp	acmaint-transd	IANA assigned this well-formed service name as a replacement for "acmaint_transd".
775	udp	acmaint_transd
776	tcp udp	wpages
777	tcp udp	multiling-http	Multiling HTTP
778-779		(unassigned)	Unassigned
780	tcp udp	wpgs
781-785		(unassigned)	Unassigned
786		(unassigned)	Unassigned
787		(unassigned)	Unassigned
788-799		(unassigned)	Unassigned	Unauthorized Use Known on port 796
800	tcp udp	mdbs-daemon	IANA assigned this well-formed service name as a replacement for "mdbs_daemon".
800	tcp udp	mdbs_daemon
801	tcp udp	device
802	tcp udp	mbap-s	Modbus Application Protocol Secure
803-809		(unassigned)	Unassigned
810	tcp udp	fcp-udp	FCP; udp: FCP Datagram
811-827		(unassigned)	Unassigned
828	tcp udp	itm-mcell-s	itm-mcell-s
829	tcp udp	pkix-3-ca-ra	PKIX-3 CA/RA
830	tcp udp	netconf-ssh	NETCONF over SSH
831	tcp udp	(reserved)	Reserved	Previously assigned to NETCONF over BEEP but released by [RFC9900]
832	tcp udp	(reserved)	Reserved	Previously assigned to NETCONF over SOAP but released by [RFC9900]
833	tcp udp	(reserved)	Reserved	Previously assigned to NETCONF over SOAP but released by [RFC9900]
834-846		(unassigned)	Unassigned
847	tcp udp	dhcp-failover2	dhcp-failover 2
848	tcp udp	gdoi	GDOI
849-852		(unassigned)	Unassigned
853	tcp udp	domain-s	DNS query-response protocol run over TLS; udp: DNS query-response protocol run over DTLS or QUIC
854	tcp udp	dlep	Dynamic Link Exchange Protocol (DLEP)
855-859		(unassigned)	Unassigned
860	tcp udp	iscsi	iSCSI
861	tcp	owamp-control	OWAMP-Control
861	udp	owamp-test	OWAMP-Test
862	tcp	twamp-control	TWAMP-Control
862	udp	twamp-test	TWAMP-Test Receiver Port
863-872		(unassigned)	Unassigned
873	tcp udp	rsync	rsync
874-885		(unassigned)	Unassigned
886	tcp udp	iclcnet-locate	ICL coNETion locate server
887	tcp udp	iclcnet-svinfo	ICL coNETion server info IANA assigned this well-formed service name as a replacement for "iclcnet_svinfo".
887	tcp udp	iclcnet_svinfo	ICL coNETion server info
888	tcp udp	accessbuilder	AccessBuilder
888	tcp	cddbp	CD Database Protocol
889-899		(unassigned)	Unassigned
900	tcp udp	omginitialrefs	OMG Initial Refs
901	tcp udp	smpnameres	SMPNAMERES
902	tcp udp	ideafarm-door	self documenting Telnet Door; udp: self documenting Door: send 0x00 for info
903	tcp udp	ideafarm-panic	self documenting Telnet Panic Door; udp: self documenting Panic Door: send 0x00 for info
904-909		(unassigned)	Unassigned
910	tcp udp	kink	Kerberized Internet Negotiation of Keys (KINK)
911	tcp udp	xact-backup	xact-backup
912	tcp udp	apex-mesh	APEX relay-relay service
913	tcp udp	apex-edge	APEX endpoint-relay service
914	tcp	(reserved)	Reserved
914	udp	rift-lies	Routing in Fat Trees Link Information Element
915	tcp	(reserved)	Reserved
915	udp	rift-ties	Routing in Fat Trees Topology Information Element
916-952		(unassigned)	Unassigned
953	tcp	rndc	BIND9 remote name daemon controller
953	udp	(reserved)	Reserved
954-988		(unassigned)	Unassigned
989	tcp udp	ftps-data	ftp protocol, data, over TLS/SSL
990	tcp udp	ftps	ftp protocol, control, over TLS/SSL
991	tcp udp	nas	Netnews Administration System
992	tcp udp	telnets	telnet protocol over TLS/SSL
993	tcp	imaps	IMAP over TLS protocol
993	udp	(reserved)	Reserved
994	tcp	(reserved)	Reserved	(previous contact was[Christopher_Allen])
994	udp	(reserved)	Reserved
995	tcp udp	pop3s	POP3 over TLS protocol; udp: pop3 protocol over TLS/SSL (was spop3)
996	tcp udp	vsinet	vsinet
997	tcp udp	maitrd
998	tcp	busboy
998	udp	puparp
999	tcp	garcon
999	udp	applix	Applix ac
999	tcp udp	puprouter
1000	tcp udp	cadlock2
1001	tcp	webpush	HTTP Web Push
1001	udp	(reserved)	Reserved
1002-1007		(unassigned)	Unassigned
1008	udp	(unassigned)	Possibly used by Sun Solaris????
1009		(unassigned)	Unassigned
1010	tcp udp	surf	surf
1011-1020		(reserved)	Reserved
1021	tcp udp sctp dccp	exp1	RFC3692-style Experiment 1
1022	tcp udp sctp dccp	exp2	RFC3692-style Experiment 2
1023	tcp udp	(reserved)	Reserved
1024	tcp udp	(reserved)	Reserved
1025	tcp udp	blackjack	network blackjack
1026	tcp udp	cap	Calendar Access Protocol
1027	udp	6a44	IPv6 Behind NAT44 CPEs
1027	tcp	(reserved)	Reserved
1028		(unassigned)	Deprecated
1029	tcp udp	solid-mux	Solid Mux Server
1030		(reserved)	Reserved	This entry is being removed on 2013-05-24.
1031		(reserved)	Reserved	This entry is being removed on 2013-05-24.
1032		(reserved)	Reserved	This entry is being removed on 2013-05-24.
1033	tcp udp	netinfo-local	local netinfo port
1034	tcp udp	activesync	ActiveSync Notifications
1035	tcp udp	mxxrlogin	MX-XR RPC
1036	tcp udp	nsstp	Nebula Secure Segment Transfer Protocol
1037	tcp udp	ams	AMS
1038	tcp udp	mtqp	Message Tracking Query Protocol
1039	tcp udp	sbl	Streamlined Blackhole
1040	tcp udp	netarx	Netarx Netcare
1041	tcp udp	danf-ak2	AK2 Product
1042	tcp udp	afrog	Subnet Roaming
1043	tcp udp	boinc-client	BOINC Client Control
1044	tcp udp	dcutility	Dev Consortium Utility
1045	tcp udp	fpitp	Fingerprint Image Transfer Protocol
1046	tcp udp	wfremotertm	WebFilter Remote Monitor
1047	tcp udp	neod1	Sun's NEO Object Request Broker
1048	tcp udp	neod2	Sun's NEO Object Request Broker
1049	tcp udp	td-postman	Tobit David Postman VPMN
1050	tcp udp	cma	CORBA Management Agent
1051	tcp udp	optima-vnet	Optima VNET
1052	tcp udp	ddt	Dynamic DNS Tools
1053	tcp udp	remote-as	Remote Assistant (RA)	Unauthorized Use Known on port 1053
1054	tcp udp	brvread	BRVREAD
1055	tcp udp	ansyslmd	ANSYS - License Manager
1056	tcp udp	vfo	VFO
1057	tcp udp	startron	STARTRON
1058	tcp udp	nim	nim
1059	tcp udp	nimreg	nimreg
1060	tcp udp	polestar	POLESTAR
1061	tcp udp	kiosk	KIOSK
1062	tcp udp	veracity	Veracity
1063	tcp udp	kyoceranetdev	KyoceraNetDev
1064	tcp udp	jstel	JSTEL
1065	tcp udp	syscomlan	SYSCOMLAN
1066	tcp udp	fpo-fns	FPO-FNS
1067	tcp udp	instl-boots	Installation Bootstrap Proto. Serv. IANA assigned this well-formed service name as a replacement for "instl_boots".
1067	tcp udp	instl_boots	Installation Bootstrap Proto. Serv.
1068	tcp udp	instl-bootc	Installation Bootstrap Proto. Cli. IANA assigned this well-formed service name as a replacement for "instl_bootc".
1068	tcp udp	instl_bootc	Installation Bootstrap Proto. Cli.
1069	tcp udp	cognex-insight	COGNEX-INSIGHT
1070	tcp udp	gmrupdateserv	GMRUpdateSERV
1071	tcp udp	bsquare-voip	BSQUARE-VOIP
1072	tcp udp	cardax	CARDAX
1073	tcp udp	bridgecontrol	Bridge Control
1074	tcp udp	warmspotMgmt	Warmspot Management Protocol
1075	tcp udp	rdrmshc	RDRMSHC
1076	tcp udp	dab-sti-c	DAB STI-C
1077	tcp udp	imgames	IMGames
1078	tcp udp	avocent-proxy	Avocent Proxy Protocol
1079	tcp udp	asprovatalk	ASPROVATalk
1080	tcp udp	socks	Socks
1081	tcp udp	pvuniwien	PVUNIWIEN
1082	tcp udp	amt-esd-prot	AMT-ESD-PROT
1083	tcp udp	ansoft-lm-1	Anasoft License Manager
1084	tcp udp	ansoft-lm-2	Anasoft License Manager
1085	tcp udp	webobjects	Web Objects
1086	tcp udp	cplscrambler-lg	CPL Scrambler Logging
1087	tcp udp	cplscrambler-in	CPL Scrambler Internal
1088	tcp udp	cplscrambler-al	CPL Scrambler Alarm Log
1089	tcp udp	ff-annunc	FF Annunciation
1090	tcp udp	ff-fms	FF Fieldbus Message Specification
1091	tcp udp	ff-sm	FF System Management
1092	tcp udp	obrpd	Open Business Reporting Protocol
1093	tcp udp	proofd	PROOFD
1094	tcp udp	rootd	ROOTD
1095	tcp udp	nicelink	NICELink
1096	tcp udp	cnrprotocol	Common Name Resolution Protocol
1097	tcp udp	sunclustermgr	Sun Cluster Manager
1098	tcp udp	rmiactivation	RMI Activation
1099	tcp udp	rmiregistry	RMI Registry
1100	tcp udp	mctp	MCTP
1101	tcp udp	pt2-discover	PT2-DISCOVER
1102	tcp udp	adobeserver-1	ADOBE SERVER 1
1103	tcp udp	adobeserver-2	ADOBE SERVER 2
1104	tcp udp	xrl	XRL
1105	tcp udp	ftranhc	FTRANHC
1106	tcp udp	isoipsigport-1	ISOIPSIGPORT-1
1107	tcp udp	isoipsigport-2	ISOIPSIGPORT-2
1108	tcp udp	ratio-adp	ratio-adp
1109		(reserved)	Reserved - IANA
1110	tcp	webadmstart	Start web admin server
1110	udp	nfsd-keepalive	Client status info
1111	tcp udp	lmsocialserver	LM Social Server
1112	tcp udp	icp	Intelligent Communication Protocol
1113	tcp udp dccp	ltp-deepspace	Licklider Transmission Protocol
1114	tcp udp	mini-sql	Mini SQL
1115	tcp udp	ardus-trns	ARDUS Transfer
1116	tcp udp	ardus-cntl	ARDUS Control
1117	tcp udp	ardus-mtrns	ARDUS Multicast Transfer
1118	tcp udp	sacred	SACRED
1119	tcp udp	bnetgame	Battle.net Chat/Game Protocol
1120	tcp udp	bnetfile	Battle.net File Transfer Protocol
1121	tcp udp	rmpp	Datalode RMPP
1122	tcp udp	availant-mgr	availant-mgr
1123	tcp udp	murray	Murray
1124	tcp udp	hpvmmcontrol	HP VMM Control
1125	tcp udp	hpvmmagent	HP VMM Agent
1126	tcp udp	hpvmmdata	HP VMM Agent
1127	tcp udp	kwdb-commn	KWDB Remote Communication
1128	tcp udp	saphostctrl	SAPHostControl over SOAP/HTTP
1129	tcp udp	saphostctrls	SAPHostControl over SOAP/HTTPS
1130	tcp udp	casp	CAC App Service Protocol
1131	tcp udp	caspssl	CAC App Service Protocol Encripted
1132	tcp udp	kvm-via-ip	KVM-via-IP Management Service
1133	tcp udp	dfn	Data Flow Network
1134	tcp udp	aplx	MicroAPL APLX
1135	tcp udp	omnivision	OmniVision Communication Service
1136	tcp udp	hhb-gateway	HHB Gateway Control
1137	tcp udp	trim	TRIM Workgroup Service
1138	tcp udp	encrypted-admin	encrypted admin requests IANA assigned this well-formed service name as a replacement for "encrypted_admin".
1138	tcp udp	encrypted_admin	encrypted admin requests
1139	tcp udp	evm	Enterprise Virtual Manager
1140	tcp udp	autonoc	AutoNOC Network Operations Protocol
1141	tcp udp	mxomss	User Message Service
1142	tcp udp	edtools	User Discovery Service
1143	tcp udp	imyx	Infomatryx Exchange
1144	tcp udp	fuscript	Fusion Script
1145	tcp udp	x9-icue	X9 iCue Show Control
1146	tcp udp	audit-transfer	audit transfer
1147	tcp udp	capioverlan	CAPIoverLAN
1148	tcp udp	elfiq-repl	Elfiq Replication Service
1149	tcp udp	bvtsonar	BlueView Sonar Service
1150	tcp udp	blaze	Blaze File Server
1151	tcp udp	unizensus	Unizensus Login Server
1152	tcp udp	winpoplanmess	Winpopup LAN Messenger
1153	tcp udp	c1222-acse	ANSI C12.22 Port
1154	tcp udp	resacommunity	Community Service
1155	tcp udp	nfa	Network File Access
1156	tcp udp	iascontrol-oms	iasControl OMS
1157	tcp udp	iascontrol	Oracle iASControl
1158	tcp udp	dbcontrol-oms	dbControl OMS
1159	tcp udp	oracle-oms	Oracle OMS
1160	tcp udp	olsv	DB Lite Mult-User Server
1161	tcp udp	health-polling	Health Polling
1162	tcp udp	health-trap	Health Trap
1163	tcp udp	sddp	SmartDialer Data Protocol
1164	tcp udp	qsm-proxy	QSM Proxy Service
1165	tcp udp	qsm-gui	QSM GUI Service
1166	tcp udp	qsm-remote	QSM RemoteExec
1167	tcp udp sctp	cisco-ipsla	Cisco IP SLAs Control Protocol
1168	tcp udp	vchat	VChat Conference Service
1169	tcp udp	tripwire	TRIPWIRE
1170	tcp udp	atc-lm	AT+C License Manager
1171	tcp udp	atc-appserver	AT+C FmiApplicationServer
1172	tcp udp	dnap	DNA Protocol
1173	tcp udp	d-cinema-rrp	D-Cinema Request-Response
1174	tcp udp	fnet-remote-ui	FlashNet Remote Admin
1175	tcp udp	dossier	Dossier Server
1176	tcp udp	indigo-server	Indigo Home Server
1177	tcp udp	dkmessenger	DKMessenger Protocol
1178	tcp udp	sgi-storman	SGI Storage Manager
1179	tcp udp	b2n	Backup To Neighbor
1180	tcp udp	mc-client	Millicent Client Proxy
1181	tcp udp	3comnetman	3Com Net Management
1182	tcp	accelenet	AcceleNet Control
1182	udp	accelenet-data	AcceleNet Data
1183	tcp udp	llsurfup-http	LL Surfup HTTP
1184	tcp udp	llsurfup-https	LL Surfup HTTPS
1185	tcp udp	catchpole	Catchpole port
1186	tcp udp	mysql-cluster	MySQL Cluster Manager
1187	tcp udp	alias	Alias Service
1188	tcp udp	hp-webadmin	HP Web Admin
1189	tcp udp	unet	Unet Connection
1190	tcp udp	commlinx-avl	CommLinx GPS / AVL System
1191	tcp udp	gpfs	General Parallel File System
1192	tcp udp	caids-sensor	caids sensors channel
1193	tcp udp	fiveacross	Five Across Server
1194	tcp udp	openvpn	OpenVPN
1195	tcp udp	rsf-1	RSF-1 clustering
1196	tcp udp	netmagic	Network Magic
1197	tcp udp	carrius-rshell	Carrius Remote Access
1198	tcp udp	cajo-discovery	cajo reference discovery
1199	tcp udp	dmidi	DMIDI
1200	tcp udp	scol	SCOL
1201	tcp udp	nucleus-sand	Nucleus Sand Database Server
1202	tcp udp	caiccipc	caiccipc
1203	tcp udp	ssslic-mgr	License Validation
1204	tcp udp	ssslog-mgr	Log Request Listener
1205	tcp udp	accord-mgc	Accord-MGC
1206	tcp udp	anthony-data	Anthony Data
1207	tcp udp	metasage	MetaSage
1208	tcp udp	seagull-ais	SEAGULL AIS
1209	tcp udp	ipcd3	IPCD3
1210	tcp udp	eoss	EOSS
1211	tcp udp	groove-dpp	Groove DPP
1212	tcp udp	lupa	lupa
1213	tcp udp	mpc-lifenet	Medtronic/Physio-Control LIFENET
1214	tcp udp	kazaa	KAZAA
1215	tcp udp	scanstat-1	scanSTAT 1.0
1216	tcp udp	etebac5	ETEBAC 5
1217	tcp udp	hpss-ndapi	HPSS NonDCE Gateway
1218	tcp udp	aeroflight-ads	AeroFlight-ADs
1219	tcp udp	aeroflight-ret	AeroFlight-Ret
1220	tcp udp	qt-serveradmin	QT SERVER ADMIN
1221	tcp udp	sweetware-apps	SweetWARE Apps
1222	tcp udp	nerv	SNI R&D network
1223	tcp udp	tgp	TrulyGlobal Protocol
1224	tcp udp	vpnz	VPNz
1225	tcp udp	slinkysearch	SLINKYSEARCH
1226	tcp udp	stgxfws	STGXFWS
1227	tcp udp	dns2go	DNS2Go
1228	tcp udp	florence	FLORENCE
1229	tcp udp	zented	ZENworks Tiered Electronic Distribution
1230	tcp udp	periscope	Periscope
1231	tcp udp	menandmice-lpm	menandmice-lpm
1232	tcp udp	first-defense	Remote systems monitoring
1233	tcp udp	univ-appserver	Universal App Server
1234	tcp udp	search-agent	Infoseek Search Agent
1235	tcp udp	mosaicsyssvc1	mosaicsyssvc1
1236	tcp udp	bvcontrol	bvcontrol
1237	tcp udp	tsdos390	tsdos390
1238	tcp udp	hacl-qs	hacl-qs
1239	tcp udp	nmsd	NMSD
1240	tcp udp	instantia	Instantia
1241	tcp udp	nessus	nessus
1242	tcp udp	nmasoverip	NMAS over IP
1243	tcp udp	serialgateway	SerialGateway
1244	tcp udp	isbconference1	isbconference1
1245	tcp udp	isbconference2	isbconference2
1246	tcp udp	payrouter	payrouter
1247	tcp udp	visionpyramid	VisionPyramid
1248	tcp udp	hermes	hermes
1249	tcp udp	mesavistaco	Mesa Vista Co
1250	tcp udp	swldy-sias	swldy-sias
1251	tcp udp	servergraph	servergraph
1252	tcp udp	bspne-pcc	bspne-pcc
1253	tcp udp	q55-pcc	q55-pcc
1254	tcp udp	de-noc	de-noc
1255	tcp udp	de-cache-query	de-cache-query
1256	tcp udp	de-server	de-server
1257	tcp udp	shockwave2	Shockwave 2
1258	tcp udp	opennl	Open Network Library
1259	tcp udp	opennl-voice	Open Network Library Voice
1260	tcp udp	ibm-ssd	ibm-ssd
1261	tcp udp	mpshrsv	mpshrsv
1262	tcp udp	qnts-orb	QNTS-ORB
1263	tcp udp	dka	dka
1264	tcp udp	prat	PRAT
1265	tcp udp	dssiapi	DSSIAPI
1266	tcp udp	dellpwrappks	DELLPWRAPPKS
1267	tcp udp	epc	eTrust Policy Compliance
1268	tcp udp	propel-msgsys	PROPEL-MSGSYS
1269	tcp udp	watilapp	WATiLaPP
1270	tcp udp	opsmgr	Microsoft Operations Manager
1271	tcp udp	excw	eXcW
1272	tcp udp	cspmlockmgr	CSPMLockMgr
1273	tcp udp	emc-gateway	EMC-Gateway
1274	tcp udp	t1distproc	t1distproc
1275	tcp udp	ivcollector	ivcollector
1276	tcp udp	(reserved)	Reserved	This entry has been removed on 2014-05-23.
1277	tcp udp	miva-mqs	mqs
1278	tcp udp	dellwebadmin-1	Dell Web Admin 1
1279	tcp udp	dellwebadmin-2	Dell Web Admin 2
1280	tcp udp	pictrography	Pictrography
1281	tcp udp	healthd	healthd
1282	tcp udp	emperion	Emperion
1283	tcp udp	productinfo	Product Information
1284	tcp udp	iee-qfx	IEE-QFX
1285	tcp udp	neoiface	neoiface
1286	tcp udp	netuitive	netuitive
1287	tcp udp	routematch	RouteMatch Com
1288	tcp udp	navbuddy	NavBuddy
1289	tcp udp	jwalkserver	JWalkServer
1290	tcp udp	winjaserver	WinJaServer
1291	tcp udp	seagulllms	SEAGULLLMS
1292	tcp udp	dsdn	dsdn
1293	tcp udp	pkt-krb-ipsec	PKT-KRB-IPSec
1294	tcp udp	cmmdriver	CMMdriver
1295	tcp udp	ehtp	End-by-Hop Transmission Protocol
1296	tcp udp	dproxy	dproxy
1297	tcp udp	sdproxy	sdproxy
1298	tcp udp	lpcp	lpcp
1299	tcp udp	hp-sci	hp-sci
1300	tcp udp	h323hostcallsc	H.323 Secure Call Control Signalling
1301	tcp udp	(reserved)	Reserved	De-Assigned on 2019-10-30
1302	tcp udp	(reserved)	Reserved	De-Assigned on 2019-10-30
1303	tcp udp	sftsrv	sftsrv
1304	tcp udp	boomerang	Boomerang
1305	tcp udp	pe-mike	pe-mike
1306	tcp udp	re-conn-proto	RE-Conn-Proto
1307	tcp udp	pacmand	Pacmand
1308	tcp udp	odsi	Optical Domain Service Interconnect (ODSI)
1309	tcp udp	jtag-server	JTAG server
1310	tcp udp	husky	Husky
1311	tcp udp	rxmon	RxMon
1312	tcp udp	sti-envision	STI Envision
1313	tcp udp	bmc-patroldb	BMC_PATROLDB IANA assigned this well-formed service name as a replacement for "bmc_patroldb".
1313	tcp udp	bmc_patroldb	BMC_PATROLDB
1314	tcp udp	pdps	Photoscript Distributed Printing System
1315	tcp udp	els	E.L.S., Event Listener Service
1316	tcp udp	exbit-escp	Exbit-ESCP
1317	tcp udp	vrts-ipcserver	vrts-ipcserver
1318	tcp udp	krb5gatekeeper	krb5gatekeeper
1319	tcp udp	amx-icsp	AMX-ICSP
1320	tcp udp	amx-axbnet	AMX-AXBNET
1321	tcp udp	pip	PIP
1322	tcp udp	novation	Novation
1323	tcp udp	brcd	brcd
1324	tcp udp	delta-mcp	delta-mcp
1325	tcp udp	dx-instrument	Thermo Fisher Scientific Instrumentation (Formally Dionex)
1326	tcp udp	wimsic	WIMSIC
1327	tcp udp	ultrex	Ultrex
1328	tcp udp	ewall	EWALL
1329	tcp udp	netdb-export	netdb-export
1330	tcp udp	streetperfect	StreetPerfect
1331	tcp udp	intersan	intersan
1332	tcp udp	pcia-rxp-b	PCIA RXP-B
1333	tcp udp	passwrd-policy	Password Policy
1334	tcp udp	writesrv	writesrv
1335	tcp udp	digital-notary	Digital Notary Protocol
1336	tcp udp	ischat	Instant Service Chat
1337	tcp udp	menandmice-dns	menandmice DNS
1338	tcp udp	wmc-log-svc	WMC-log-svr
1339	tcp udp	kjtsiteserver	kjtsiteserver
1340	tcp udp	naap	NAAP
1341	tcp udp	qubes	QuBES
1342	tcp udp	esbroker	ESBroker
1343	tcp udp	re101	re101
1344	tcp udp	icap	ICAP
1345	tcp udp	vpjp	VPJP
1346	tcp udp	alta-ana-lm	Alta Analytics License Manager
1347	tcp udp	bbn-mmc	multi media conferencing
1348	tcp udp	bbn-mmx	multi media conferencing
1349	tcp udp	sbook	Registration Network Protocol
1350	tcp udp	editbench	Registration Network Protocol
1351	tcp udp	equationbuilder	Digital Tool Works (MIT)
1352	tcp udp	lotusnote	Lotus Note
1353	tcp udp	relief	Relief Consulting
1354	tcp udp	XSIP-network	Five Across XSIP Network
1355	tcp udp	intuitive-edge	Intuitive Edge
1356	tcp udp	cuillamartin	CuillaMartin Company
1357	tcp udp	pegboard	Electronic PegBoard
1358	tcp udp	connlcli	CONNLCLI
1359	tcp udp	ftsrv	FTSRV
1360	tcp udp	mimer	MIMER
1361	tcp udp	linx	LinX
1362	tcp udp	timeflies	TimeFlies
1363	tcp udp	ndm-requester	Network DataMover Requester
1364	tcp udp	ndm-server	Network DataMover Server
1365	tcp udp	adapt-sna	Network Software Associates
1366	tcp udp	netware-csp	Novell NetWare Comm Service Platform
1367	tcp udp	dcs	DCS
1368	tcp udp	screencast	ScreenCast
1369	tcp udp	gv-us	GlobalView to Unix Shell
1370	tcp udp	us-gv	Unix Shell to GlobalView
1371	tcp udp	fc-cli	Fujitsu Config Protocol
1372	tcp udp	fc-ser	Fujitsu Config Protocol
1373	tcp udp	chromagrafx	Chromagrafx
1374	tcp udp	molly	EPI Software Systems
1375	tcp udp	bytex	Bytex
1376	tcp udp	ibm-pps	IBM Person to Person Software
1377	tcp udp	cichlid	Cichlid License Manager
1378	tcp udp	elan	Elan License Manager
1379	tcp udp	dbreporter	Integrity Solutions
1380	tcp udp	telesis-licman	Telesis Network License Manager
1381	tcp udp	apple-licman	Apple Network License Manager
1382	tcp udp	udt-os	udt_os IANA assigned this well-formed service name as a replacement for "udt_os".
1382	tcp udp	udt_os	udt_os
1383	tcp udp	gwha	GW Hannaway Network License Manager
1384	tcp udp	os-licman	Objective Solutions License Manager
1385	tcp udp	atex-elmd	Atex Publishing License Manager IANA assigned this well-formed service name as a replacement for "atex_elmd".
1385	tcp udp	atex_elmd	Atex Publishing License Manager
1386	tcp udp	checksum	CheckSum License Manager
1387	tcp udp	cadsi-lm	Computer Aided Design Software Inc LM
1388	tcp udp	objective-dbc	Objective Solutions DataBase Cache
1389	tcp udp	iclpv-dm	Document Manager
1390	tcp udp	iclpv-sc	Storage Controller
1391	tcp udp	iclpv-sas	Storage Access Server
1392	tcp udp	iclpv-pm	Print Manager
1393	tcp udp	iclpv-nls	Network Log Server
1394	tcp udp	iclpv-nlc	Network Log Client
1395	tcp udp	iclpv-wsm	PC Workstation Manager software
1396	tcp udp	dvl-activemail	DVL Active Mail
1397	tcp udp	audio-activmail	Audio Active Mail
1398	tcp udp	video-activmail	Video Active Mail
1399	tcp udp	cadkey-licman	Cadkey License Manager
1400	tcp udp	cadkey-tablet	Cadkey Tablet Daemon
1401	tcp udp	goldleaf-licman	Goldleaf License Manager
1402	tcp udp	prm-sm-np	Prospero Resource Manager
1403	tcp udp	prm-nm-np	Prospero Resource Manager
1404	tcp udp	igi-lm	Infinite Graphics License Manager
1405	tcp udp	ibm-res	IBM Remote Execution Starter
1406	tcp udp	netlabs-lm	NetLabs License Manager
1407	tcp	tibet-server	TIBET Data Server
1407	udp	(reserved)	Reserved	This port has been removed on 2015-06-16.
1408	tcp udp	sophia-lm	Sophia License Manager
1409	tcp udp	here-lm	Here License Manager
1410	tcp udp	hiq	HiQ License Manager
1411	tcp udp	af	AudioFile
1412	tcp udp	innosys	InnoSys
1413	tcp udp	innosys-acl	Innosys-ACL
1414	tcp udp	ibm-mqseries	IBM MQSeries
1415	tcp udp	dbstar	DBStar
1416	tcp udp	novell-lu6-2	Novell LU6.2 IANA assigned this well-formed service name as a replacement for "novell-lu6.2".
1416	tcp udp	novell-lu6.2	Novell LU6.2
1417	tcp udp	timbuktu-srv1	Timbuktu Service 1 Port
1418	tcp udp	timbuktu-srv2	Timbuktu Service 2 Port
1419	tcp udp	timbuktu-srv3	Timbuktu Service 3 Port
1420	tcp udp	timbuktu-srv4	Timbuktu Service 4 Port
1421	tcp udp	gandalf-lm	Gandalf License Manager
1422	tcp udp	autodesk-lm	Autodesk License Manager
1423	tcp udp	essbase	Essbase Arbor Software
1424	tcp udp	hybrid	Hybrid Encryption Protocol
1425	tcp udp	zion-lm	Zion Software License Manager
1426	tcp udp	sais	Satellite-data Acquisition System 1
1427	tcp udp	mloadd	mloadd monitoring tool
1428	tcp udp	informatik-lm	Informatik License Manager
1429	tcp udp	nms	Hypercom NMS
1430	tcp udp	tpdu	Hypercom TPDU
1431	tcp udp	rgtp	Reverse Gossip Transport
1432	tcp udp	blueberry-lm	Blueberry Software License Manager
1433	tcp udp	ms-sql-s	Microsoft-SQL-Server
1434	tcp udp	ms-sql-m	Microsoft-SQL-Monitor
1435	tcp udp	ibm-cics	IBM CICS
1436	tcp udp	saism	Satellite-data Acquisition System 2
1437	tcp udp	tabula	Tabula
1438	tcp udp	eicon-server	Eicon Security Agent/Server
1439	tcp udp	eicon-x25	Eicon X25/SNA Gateway
1440	tcp udp	eicon-slp	Eicon Service Location Protocol
1441	tcp udp	cadis-1	Cadis License Management
1442	tcp udp	cadis-2	Cadis License Management
1443	tcp udp	ies-lm	Integrated Engineering Software
1444	tcp udp	marcam-lm	Marcam License Management
1445	tcp udp	proxima-lm	Proxima License Manager
1446	tcp udp	ora-lm	Optical Research Associates License Manager
1447	tcp udp	apri-lm	Applied Parallel Research LM
1448	tcp udp	oc-lm	OpenConnect License Manager
1449	tcp udp	peport	PEport
1450	tcp udp	dwf	Tandem Distributed Workbench Facility
1451	tcp udp	infoman	IBM Information Management
1452	tcp udp	gtegsc-lm	GTE Government Systems License Man
1453	tcp udp	genie-lm	Genie License Manager
1454	tcp udp	interhdl-elmd	interHDL License Manager IANA assigned this well-formed service name as a replacement for "interhdl_elmd".
1454	tcp udp	interhdl_elmd	interHDL License Manager
1455	tcp udp	esl-lm	ESL License Manager
1456	tcp udp	dca	DCA
1457	tcp udp	valisys-lm	Valisys License Manager
1458	tcp udp	nrcabq-lm	Nichols Research Corp.
1459	tcp udp	proshare1	Proshare Notebook Application
1460	tcp udp	proshare2	Proshare Notebook Application
1461	tcp udp	ibm-wrless-lan	IBM Wireless LAN IANA assigned this well-formed service name as a replacement for "ibm_wrless_lan".
1461	tcp udp	ibm_wrless_lan	IBM Wireless LAN
1462	tcp udp	world-lm	World License Manager
1463	tcp udp	nucleus	Nucleus
1464	tcp udp	msl-lmd	MSL License Manager IANA assigned this well-formed service name as a replacement for "msl_lmd".
1464	tcp udp	msl_lmd	MSL License Manager
1465	tcp udp	pipes	Pipes Platform
1466	tcp udp	oceansoft-lm	Ocean Software License Manager
1467	tcp udp	csdmbase	CSDMBASE
1468	tcp udp	csdm	CSDM
1469	tcp udp	aal-lm	Active Analysis Limited License Manager
1470	tcp udp	uaiact	Universal Analytics
1471	tcp udp	csdmbase	csdmbase
1472	tcp udp	csdm	csdm
1473	tcp udp	openmath	OpenMath
1474	tcp udp	telefinder	Telefinder
1475	tcp udp	taligent-lm	Taligent License Manager
1476	tcp udp	clvm-cfg	clvm-cfg
1477	tcp udp	ms-sna-server	ms-sna-server
1478	tcp udp	ms-sna-base	ms-sna-base
1479	tcp udp	dberegister	dberegister
1480	tcp udp	pacerforum	PacerForum
1481	tcp udp	airs	AIRS
1482	tcp udp	miteksys-lm	Miteksys License Manager
1483	tcp udp	afs	AFS License Manager
1484	tcp udp	confluent	Confluent License Manager
1485	tcp udp	lansource	LANSource
1486	tcp udp	nms-topo-serv	nms_topo_serv IANA assigned this well-formed service name as a replacement for "nms_topo_serv".
1486	tcp udp	nms_topo_serv	nms_topo_serv
1487	tcp udp	localinfosrvr	LocalInfoSrvr
1488	tcp udp	docstor	DocStor
1489	tcp udp	dmdocbroker	dmdocbroker
1490	tcp udp	insitu-conf	insitu-conf
1491		(unassigned)	Unassigned	Unauthorized Use Known on port 1491
1492	tcp udp	stone-design-1	stone-design-1
1493	tcp udp	netmap-lm	netmap_lm IANA assigned this well-formed service name as a replacement for "netmap_lm".
1493	tcp udp	netmap_lm	netmap_lm
1494	tcp udp	ica	ica
1495	tcp udp	cvc	cvc
1496	tcp udp	liberty-lm	liberty-lm
1497	tcp udp	rfx-lm	rfx-lm
1498	tcp udp	sybase-sqlany	Sybase SQL Any
1499	tcp udp	fhc	Federico Heinz Consultora
1500	tcp udp	vlsi-lm	VLSI License Manager
1501	tcp udp	saiscm	Satellite-data Acquisition System 3
1502	tcp udp	shivadiscovery	Shiva
1503	tcp udp	imtc-mcs	Databeam
1504	tcp udp	evb-elm	EVB Software Engineering License Manager
1505	tcp udp	funkproxy	Funk Software, Inc.
1506	tcp udp	utcd	Universal Time daemon (utcd)
1507	tcp udp	symplex	symplex
1508	tcp udp	diagmond	diagmond
1509	tcp udp	robcad-lm	Robcad, Ltd. License Manager
1510	tcp udp	mvx-lm	Midland Valley Exploration Ltd. Lic. Man.
1511	tcp udp	3l-l1	3l-l1
1512	tcp udp	wins	Microsoft's Windows Internet Name Service
1513	tcp udp	fujitsu-dtc	Fujitsu Systems Business of America, Inc
1514	tcp udp	fujitsu-dtcns	Fujitsu Systems Business of America, Inc
1515	tcp udp	ifor-protocol	ifor-protocol
1516	tcp udp	vpad	Virtual Places Audio data
1517	tcp udp	vpac	Virtual Places Audio control
1518	tcp udp	vpvd	Virtual Places Video data
1519	tcp udp	vpvc	Virtual Places Video control
1520	tcp udp	atm-zip-office	atm zip office
1521	tcp udp	ncube-lm	nCube License Manager	Unauthorized Use Known on port 1521
1522	tcp udp	ricardo-lm	Ricardo North America License Manager
1523	tcp udp	cichild-lm	cichild
1524	tcp udp	ingreslock	ingres
1525	tcp udp	orasrv	oracle
1525	tcp udp	prospero-np	Prospero Directory Service non-priv
1526	tcp udp	pdap-np	Prospero Data Access Prot non-priv
1527	tcp udp	tlisrv	oracle
1528	tcp udp sctp	norp	Not Only a Routeing Protocol
1529	tcp udp	coauthor	oracle
1530	tcp udp	rap-service	rap-service
1531	tcp udp	rap-listen	rap-listen
1532	tcp udp	miroconnect	miroconnect
1533	tcp udp	virtual-places	Virtual Places Software
1534	tcp udp	micromuse-lm	micromuse-lm
1535	tcp udp	ampr-info	ampr-info
1536	tcp udp	ampr-inter	ampr-inter
1537	tcp udp	sdsc-lm	isi-lm
1538	tcp udp	3ds-lm	3ds-lm
1539	tcp udp	intellistor-lm	Intellistor License Manager
1540	tcp udp	rds	rds
1541	tcp udp	rds2	rds2
1542	tcp udp	gridgen-elmd	gridgen-elmd
1543	tcp udp	simba-cs	simba-cs
1544	tcp udp	aspeclmd	aspeclmd
1545	tcp udp	vistium-share	vistium-share
1546	tcp udp	abbaccuray	abbaccuray
1547	tcp udp	laplink	laplink
1548	tcp udp	axon-lm	Axon License Manager
1549	tcp	shivahose	Shiva Hose
1549	udp	shivasound	Shiva Sound
1550	tcp udp	3m-image-lm	Image Storage license manager 3M Company
1551	tcp udp	hecmtl-db	HECMTL-DB
1552	tcp udp	pciarray	pciarray
1553	tcp udp	sna-cs	sna-cs
1554	tcp udp	caci-lm	CACI Products Company License Manager
1555	tcp udp	livelan	livelan
1556	tcp udp	veritas-pbx	VERITAS Private Branch Exchange IANA assigned this well-formed service name as a replacement for "veritas_pbx".
1556	tcp udp	veritas_pbx	VERITAS Private Branch Exchange
1557	tcp udp	arbortext-lm	ArborText License Manager
1558	tcp udp	xingmpeg	xingmpeg
1559	tcp udp	web2host	web2host
1560	tcp udp	asci-val	ASCI-RemoteSHADOW
1561	tcp udp	facilityview	facilityview
1562	tcp udp	pconnectmgr	pconnectmgr
1563	tcp udp	cadabra-lm	Cadabra License Manager
1564	tcp udp	pay-per-view	Pay-Per-View
1565	tcp udp	winddlb	WinDD
1566	tcp udp	corelvideo	CORELVIDEO
1567	tcp udp	jlicelmd	jlicelmd
1568	tcp udp	tsspmap	tsspmap
1569	tcp udp	ets	ets
1570	tcp udp	orbixd	orbixd
1571	tcp udp	rdb-dbs-disp	Oracle Remote Data Base
1572	tcp udp	chip-lm	Chipcom License Manager
1573	tcp udp	itscomm-ns	itscomm-ns
1574	tcp udp	mvel-lm	mvel-lm
1575	tcp udp	oraclenames	oraclenames
1576	tcp udp	moldflow-lm	Moldflow License Manager
1577	tcp udp	hypercube-lm	hypercube-lm
1578	tcp udp	jacobus-lm	Jacobus License Manager
1579	tcp udp	ioc-sea-lm	ioc-sea-lm
1580	tcp	tn-tl-r1	tn-tl-r1
1580	udp	tn-tl-r2	tn-tl-r2
1581	tcp udp	mil-2045-47001	MIL-2045-47001
1582	tcp udp	msims	MSIMS
1583	tcp udp	simbaexpress	simbaexpress
1584	tcp udp	tn-tl-fd2	tn-tl-fd2
1585	tcp udp	intv	intv
1586	tcp udp	ibm-abtact	ibm-abtact
1587	tcp udp	pra-elmd	pra_elmd IANA assigned this well-formed service name as a replacement for "pra_elmd".
1587	tcp udp	pra_elmd	pra_elmd
1588	tcp udp	triquest-lm	triquest-lm
1589	tcp udp	vqp	VQP
1590	tcp udp	gemini-lm	gemini-lm
1591	tcp udp	ncpm-pm	ncpm-pm
1592	tcp udp	commonspace	commonspace
1593	tcp udp	mainsoft-lm	mainsoft-lm
1594	tcp udp	sixtrak	sixtrak
1595	tcp udp	radio	radio
1596	tcp	radio-sm	radio-sm
1596	udp	radio-bc	radio-bc
1597	tcp udp	orbplus-iiop	orbplus-iiop
1598	tcp udp	picknfs	picknfs
1599	tcp udp	simbaservices	simbaservices
1600	tcp udp	issd	issd
1601	tcp udp	aas	aas
1602	tcp udp	inspect	inspect
1603	tcp udp	picodbc	pickodbc
1604	tcp udp	icabrowser	icabrowser
1605	tcp udp	slp	Salutation Manager (Salutation Protocol)
1606	tcp udp	slm-api	Salutation Manager (SLM-API)
1607	tcp udp	stt	stt
1608	tcp udp	smart-lm	Smart Corp. License Manager
1609	tcp udp	isysg-lm	isysg-lm
1610	tcp udp	taurus-wh	taurus-wh
1611	tcp udp	ill	Inter Library Loan
1612	tcp udp	netbill-trans	NetBill Transaction Server
1613	tcp udp	netbill-keyrep	NetBill Key Repository
1614	tcp udp	netbill-cred	NetBill Credential Server
1615	tcp udp	netbill-auth	NetBill Authorization Server
1616	tcp udp	netbill-prod	NetBill Product Server
1617	tcp udp	nimrod-agent	Nimrod Inter-Agent Communication
1618	tcp udp	skytelnet	skytelnet
1619	tcp udp	xs-openstorage	xs-openstorage
1620	tcp udp	faxportwinport	faxportwinport
1621	tcp udp	softdataphone	softdataphone
1622	tcp udp	ontime	ontime
1623	tcp udp	jaleosnd	jaleosnd
1624	tcp udp	udp-sr-port	udp-sr-port
1625	tcp udp	svs-omagent	svs-omagent
1626	tcp udp	shockwave	Shockwave
1627	tcp udp	t128-gateway	T.128 Gateway
1628	tcp udp	lontalk-norm	LonTalk normal
1629	tcp udp	lontalk-urgnt	LonTalk urgent
1630	tcp udp	oraclenet8cman	Oracle Net8 Cman
1631	tcp udp	visitview	Visit view
1632	tcp udp	pammratc	PAMMRATC
1633	tcp udp	pammrpc	PAMMRPC
1634	tcp udp	loaprobe	Log On America Probe
1635	tcp udp	edb-server1	EDB Server 1
1636	tcp udp	isdc	ISP shared public data control
1637	tcp udp	islc	ISP shared local data control
1638	tcp udp	ismc	ISP shared management control
1639	tcp udp	cert-initiator	cert-initiator
1640	tcp udp	cert-responder	cert-responder
1641	tcp udp	invision	InVision
1642	tcp udp	isis-am	isis-am
1643	tcp udp	isis-ambc	isis-ambc
1644	tcp udp	saiseh	Satellite-data Acquisition System 4
1645	tcp udp	sightline	SightLine
1646	tcp udp	sa-msg-port	sa-msg-port
1647	tcp udp	rsap	rsap
1648	tcp udp	concurrent-lm	concurrent-lm
1649	tcp udp	kermit	kermit
1650	tcp udp	nkd	nkdn; udp: nkd
1651	tcp udp	shiva-confsrvr	shiva_confsrvr IANA assigned this well-formed service name as a replacement for "shiva_confsrvr".
1651	tcp udp	shiva_confsrvr	shiva_confsrvr
1652	tcp udp	xnmp	xnmp
1653	tcp udp	alphatech-lm	alphatech-lm
1654	tcp udp	stargatealerts	stargatealerts
1655	tcp udp	dec-mbadmin	dec-mbadmin
1656	tcp udp	dec-mbadmin-h	dec-mbadmin-h
1657	tcp udp	fujitsu-mmpdc	fujitsu-mmpdc
1658	tcp udp	sixnetudr	sixnetudr
1659	tcp udp	sg-lm	Silicon Grail License Manager
1660	tcp udp	skip-mc-gikreq	skip-mc-gikreq
1661	tcp udp	netview-aix-1	netview-aix-1
1662	tcp udp	netview-aix-2	netview-aix-2
1663	tcp udp	netview-aix-3	netview-aix-3
1664	tcp udp	netview-aix-4	netview-aix-4
1665	tcp udp	netview-aix-5	netview-aix-5
1666	tcp udp	netview-aix-6	netview-aix-6
1667	tcp udp	netview-aix-7	netview-aix-7
1668	tcp udp	netview-aix-8	netview-aix-8
1669	tcp udp	netview-aix-9	netview-aix-9
1670	tcp udp	netview-aix-10	netview-aix-10
1671	tcp udp	netview-aix-11	netview-aix-11
1672	tcp udp	netview-aix-12	netview-aix-12
1673	tcp udp	proshare-mc-1	Intel Proshare Multicast
1674	tcp udp	proshare-mc-2	Intel Proshare Multicast
1675	tcp udp	pdp	Pacific Data Products
1676	tcp	netcomm1	netcomm1
1676	udp	netcomm2	netcomm2
1677	tcp udp	groupwise	groupwise
1678	tcp udp	prolink	prolink
1679	tcp udp	darcorp-lm	darcorp-lm
1680	tcp udp	microcom-sbp	microcom-sbp
1681	tcp udp	sd-elmd	sd-elmd
1682	tcp udp	lanyon-lantern	lanyon-lantern
1683	tcp udp	ncpm-hip	ncpm-hip
1684	tcp udp	snaresecure	SnareSecure
1685	tcp udp	n2nremote	n2nremote
1686	tcp udp	cvmon	cvmon
1687	tcp udp	nsjtp-ctrl	nsjtp-ctrl
1688	tcp udp	nsjtp-data	nsjtp-data
1689	tcp udp	firefox	firefox
1690	tcp udp	ng-umds	ng-umds
1691	tcp udp	empire-empuma	empire-empuma
1692	tcp udp	sstsys-lm	sstsys-lm
1693	tcp udp	rrirtr	rrirtr
1694	tcp udp	rrimwm	rrimwm
1695	tcp udp	rrilwm	rrilwm
1696	tcp udp	rrifmm	rrifmm
1697	tcp udp	rrisat	rrisat
1698	tcp udp	rsvp-encap-1	RSVP-ENCAPSULATION-1
1699	tcp udp	rsvp-encap-2	RSVP-ENCAPSULATION-2
1700	tcp udp	mps-raft	mps-raft
1701	tcp udp	l2f	l2f
1701	tcp udp	l2tp	l2tp
1702	tcp udp	deskshare	deskshare
1703	tcp udp	hb-engine	hb-engine
1704	tcp udp	bcs-broker	bcs-broker
1705	tcp udp	slingshot	slingshot
1706	tcp udp	jetform	jetform
1707	tcp udp	vdmplay	vdmplay
1708	tcp udp	gat-lmd	gat-lmd
1709	tcp udp	centra	centra
1710	tcp udp	impera	impera
1711	tcp udp	pptconference	pptconference
1712	tcp udp	registrar	resource monitoring service
1713	tcp udp	conferencetalk	ConferenceTalk
1714	tcp udp	sesi-lm	sesi-lm
1715	tcp udp	houdini-lm	houdini-lm
1716	tcp udp	xmsg	xmsg
1717	tcp udp	fj-hdnet	fj-hdnet
1718	tcp udp	h323gatedisc	H.323 Multicast Gatekeeper Discover
1719	tcp udp	h323gatestat	H.323 Unicast Gatekeeper Signaling
1720	tcp udp sctp	h323hostcall	H.323 Call Control Signalling; sctp: H.323 Call Control
1721	tcp udp	caicci	caicci
1722	tcp udp	hks-lm	HKS License Manager
1723	tcp udp	pptp	pptp
1724	tcp udp	csbphonemaster	csbphonemaster
1725	tcp udp	iden-ralp	iden-ralp
1726	tcp udp	iberiagames	IBERIAGAMES
1727	tcp udp	winddx	winddx
1728	tcp udp	telindus	TELINDUS
1729	tcp udp	citynl	CityNL License Management
1730	tcp udp	roketz	roketz
1731	tcp udp	msiccp	MSICCP
1732	tcp udp	proxim	proxim
1733	tcp udp	siipat	SIMS - SIIPAT Protocol for Alarm Transmission
1734	tcp udp	cambertx-lm	Camber Corporation License Management
1735	tcp udp	privatechat	PrivateChat
1736	tcp udp	street-stream	street-stream
1737	tcp udp	ultimad	ultimad
1738	tcp udp	gamegen1	GameGen1
1739	tcp udp	webaccess	webaccess
1740	tcp udp	encore	encore
1741	tcp udp	cisco-net-mgmt	cisco-net-mgmt
1742	tcp udp	3Com-nsd	3Com-nsd
1743	tcp udp	cinegrfx-lm	Cinema Graphics License Manager
1744	tcp udp	ncpm-ft	ncpm-ft
1745	tcp udp	remote-winsock	remote-winsock
1746	tcp udp	ftrapid-1	ftrapid-1
1747	tcp udp	ftrapid-2	ftrapid-2
1748	tcp udp	oracle-em1	oracle-em1
1749	tcp udp	aspen-services	aspen-services
1750	tcp udp	sslp	Simple Socket Library's PortMaster
1751	tcp udp	swiftnet	SwiftNet
1752	tcp udp	lofr-lm	Leap of Faith Research License Manager
1753	tcp	predatar-comms	Predatar Comms Service
1753	udp	(reserved)	Reserved
1754	tcp udp	oracle-em2	oracle-em2
1755	tcp udp	ms-streaming	ms-streaming
1756	tcp udp	capfast-lmd	capfast-lmd
1757	tcp udp	cnhrp	cnhrp
1758	tcp udp	tftp-mcast	tftp-mcast
1759	tcp udp	spss-lm	SPSS License Manager
1760	tcp udp	www-ldap-gw	www-ldap-gw
1761	tcp udp	cft-0	cft-0
1762	tcp udp	cft-1	cft-1
1763	tcp udp	cft-2	cft-2
1764	tcp udp	cft-3	cft-3
1765	tcp udp	cft-4	cft-4
1766	tcp udp	cft-5	cft-5
1767	tcp udp	cft-6	cft-6
1768	tcp udp	cft-7	cft-7
1769	tcp udp	bmc-net-adm	bmc-net-adm
1770	tcp udp	bmc-net-svc	bmc-net-svc
1771	tcp udp	vaultbase	vaultbase
1772	tcp udp	essweb-gw	EssWeb Gateway
1773	tcp udp	kmscontrol	KMSControl
1774	tcp udp	global-dtserv	global-dtserv
1775	tcp	vdab	data interchange between visual processing containers
1775	udp	(reserved)	Reserved
1776	tcp udp	femis	Federal Emergency Management Information System
1777	tcp udp	powerguardian	powerguardian
1778	tcp udp	prodigy-intrnet	prodigy-internet
1779	tcp udp	pharmasoft	pharmasoft
1780	tcp udp	dpkeyserv	dpkeyserv
1781	tcp udp	answersoft-lm	answersoft-lm
1782	tcp udp	hp-hcip	hp-hcip
1783		(unassigned)	Decomissioned Port 04/14/00, ms
1784	tcp udp	finle-lm	Finle License Manager
1785	tcp udp	windlm	Wind River Systems License Manager
1786	tcp udp	funk-logger	funk-logger
1787	tcp udp	funk-license	funk-license
1788	tcp udp	psmond	psmond
1789	tcp udp	hello	hello
1790	tcp udp	nmsp	Narrative Media Streaming Protocol
1791	tcp udp	ea1	EA1
1792	tcp udp	ibm-dt-2	ibm-dt-2
1793	tcp udp	rsc-robot	rsc-robot
1794	tcp udp	cera-bcm	cera-bcm
1795	tcp udp	dpi-proxy	dpi-proxy
1796	tcp udp	vocaltec-admin	Vocaltec Server Administration
1797	tcp udp	uma	UMA
1798	tcp udp	etp	Event Transfer Protocol
1799	tcp udp	netrisk	NETRISK
1800	tcp udp	ansys-lm	ANSYS-License manager
1801	tcp udp	msmq	Microsoft Message Que
1802	tcp udp	concomp1	ConComp1
1803	tcp udp	hp-hcip-gwy	HP-HCIP-GWY
1804	tcp udp	enl	ENL
1805	tcp udp	enl-name	ENL-Name
1806	tcp udp	musiconline	Musiconline
1807	tcp udp	fhsp	Fujitsu Hot Standby Protocol
1808	tcp udp	oracle-vp2	Oracle-VP2
1809	tcp udp	oracle-vp1	Oracle-VP1
1810	tcp udp	jerand-lm	Jerand License Manager
1811	tcp udp	scientia-sdb	Scientia-SDB
1812	tcp udp	radius	RADIUS
1813	tcp udp	radius-acct	RADIUS Accounting
1814	tcp udp	tdp-suite	TDP Suite
1815	tcp udp	mmpft	Manufacturing messaging protocol for factory transmission
1816	tcp udp	harp	HARP
1817	tcp udp	rkb-oscs	RKB-OSCS
1818	tcp udp	etftp	Enhanced Trivial File Transfer Protocol
1819	tcp udp	plato-lm	Plato License Manager
1820	tcp udp	mcagent	mcagent
1821	tcp udp	donnyworld	donnyworld
1822	tcp udp	es-elmd	es-elmd
1823	tcp udp	unisys-lm	Unisys Natural Language License Manager
1824	tcp udp	metrics-pas	metrics-pas
1825	tcp udp	direcpc-video	DirecPC Video
1826	tcp udp	ardt	ARDT
1827	tcp udp	asi	ASI
1828	tcp udp	itm-mcell-u	itm-mcell-u
1829	tcp udp	optika-emedia	Optika eMedia
1830	tcp udp	net8-cman	Oracle Net8 CMan Admin
1831	tcp udp	myrtle	Myrtle
1832	tcp udp	tht-treasure	ThoughtTreasure
1833	tcp udp	udpradio	udpradio
1834	tcp udp	ardusuni	ARDUS Unicast
1835	tcp udp	ardusmul	ARDUS Multicast
1836	tcp udp	ste-smsc	ste-smsc
1837	tcp udp	csoft1	csoft1
1838	tcp udp	talnet	TALNET
1839	tcp udp	netopia-vo1	netopia-vo1
1840	tcp udp	netopia-vo2	netopia-vo2
1841	tcp udp	netopia-vo3	netopia-vo3
1842	tcp udp	netopia-vo4	netopia-vo4
1843	tcp udp	netopia-vo5	netopia-vo5
1844	tcp udp	direcpc-dll	DirecPC-DLL
1845	tcp udp	altalink	altalink
1846	tcp udp	tunstall-pnc	Tunstall PNC
1847	tcp udp	slp-notify	SLP Notification
1848	tcp udp	fjdocdist	fjdocdist
1849	tcp udp	alpha-sms	ALPHA-SMS
1850	tcp udp	gsi	GSI
1851	tcp udp	ctcd	ctcd
1852	tcp udp	virtual-time	Virtual Time
1853	tcp udp	vids-avtp	VIDS-AVTP
1854	tcp udp	buddy-draw	Buddy Draw
1855	tcp udp	fiorano-rtrsvc	Fiorano RtrSvc
1856	tcp udp	fiorano-msgsvc	Fiorano MsgSvc
1857	tcp udp	datacaptor	DataCaptor
1858	tcp udp	privateark	PrivateArk
1859	tcp udp	gammafetchsvr	Gamma Fetcher Server
1860	tcp udp	sunscalar-svc	SunSCALAR Services
1861	tcp udp	lecroy-vicp	LeCroy VICP
1862	tcp udp	mysql-cm-agent	MySQL Cluster Manager Agent
1863	tcp udp	msnp	MSNP
1864	tcp udp	paradym-31port	Paradym 31 Port
1865	tcp udp	entp	ENTP
1866	tcp udp	swrmi	swrmi
1867	tcp udp	udrive	UDRIVE
1868	tcp udp	viziblebrowser	VizibleBrowser
1869	tcp udp	transact	TransAct
1870	tcp udp	sunscalar-dns	SunSCALAR DNS Service
1871	tcp udp	canocentral0	Cano Central 0
1872	tcp udp	canocentral1	Cano Central 1
1873	tcp udp	fjmpjps	Fjmpjps
1874	tcp udp	fjswapsnp	Fjswapsnp
1875	tcp udp	westell-stats	westell stats
1876	tcp udp	ewcappsrv	ewcappsrv
1877	tcp udp	hp-webqosdb	hp-webqosdb
1878	tcp udp	drmsmc	drmsmc
1879	tcp udp	nettgain-nms	NettGain NMS
1880	tcp udp	vsat-control	Gilat VSAT Control
1881	tcp udp	ibm-mqseries2	IBM WebSphere MQ Everyplace
1882	tcp udp	ecsqdmn	CA eTrust Common Services
1883	tcp udp	mqtt	Message Queuing Telemetry Transport Protocol
1884	tcp udp	idmaps	Internet Distance Map Svc
1885	tcp udp	vrtstrapserver	Veritas Trap Server
1886	tcp udp	leoip	Leonardo over IP
1887	tcp udp	filex-lport	FileX Listening Port
1888	tcp udp	ncconfig	NC Config Port
1889	tcp udp	unify-adapter	Unify Web Adapter Service
1890	tcp udp	wilkenlistener	wilkenListener
1891	tcp udp	childkey-notif	ChildKey Notification
1892	tcp udp	childkey-ctrl	ChildKey Control
1893	tcp udp	elad	ELAD Protocol
1894	tcp udp	o2server-port	O2Server Port
1895	tcp udp	(unassigned)	unassigned	Microsoft (unoffically) using 1895
1896	tcp udp	b-novative-ls	b-novative license server
1897	tcp udp	metaagent	MetaAgent
1898	tcp udp	cymtec-port	Cymtec secure management
1899	tcp udp	mc2studios	MC2Studios
1900	tcp udp	ssdp	SSDP
1901	tcp udp	fjicl-tep-a	Fujitsu ICL Terminal Emulator Program A
1902	tcp udp	fjicl-tep-b	Fujitsu ICL Terminal Emulator Program B
1903	tcp udp	linkname	Local Link Name Resolution
1904	tcp udp	fjicl-tep-c	Fujitsu ICL Terminal Emulator Program C
1905	tcp udp	sugp	Secure UP.Link Gateway Protocol
1906	tcp udp	tpmd	TPortMapperReq
1907	tcp udp	intrastar	IntraSTAR
1908	tcp udp	dawn	Dawn
1909	tcp udp	global-wlink	Global World Link
1910	tcp udp	ultrabac	UltraBac Software communications port
1911	tcp udp	mtp	Starlight Networks Multimedia Transport Protocol
1912	tcp udp	rhp-iibp	rhp-iibp
1913	tcp udp	armadp	armadp
1914	tcp udp	elm-momentum	Elm-Momentum
1915	tcp udp	facelink	FACELINK
1916	tcp udp	persona	Persoft Persona
1917	tcp udp	noagent	nOAgent
1918	tcp udp	can-nds	IBM Tivole Directory Service - NDS
1919	tcp udp	can-dch	IBM Tivoli Directory Service - DCH
1920	tcp udp	can-ferret	IBM Tivoli Directory Service - FERRET
1921	tcp udp	noadmin	NoAdmin
1922	tcp udp	tapestry	Tapestry
1923	tcp udp	spice	SPICE
1924	tcp udp	xiip	XIIP
1925	tcp udp	discovery-port	Surrogate Discovery Port
1926	tcp udp	egs	Evolution Game Server
1927	tcp udp	videte-cipc	Videte CIPC Port
1928	tcp udp	emsd-port	Expnd Maui Srvr Dscovr
1929	tcp udp	bandwiz-system	Bandwiz System - Server
1930	tcp udp	driveappserver	Drive AppServer
1931	tcp udp	amdsched	AMD SCHED
1932	tcp udp	ctt-broker	CTT Broker
1933	tcp udp	xmapi	IBM LM MT Agent
1934	tcp udp	xaapi	IBM LM Appl Agent
1935	tcp udp	macromedia-fcs	Macromedia Flash Communications Server MX; udp: Macromedia Flash Communications server MX
1936	tcp udp	jetcmeserver	JetCmeServer Server Port
1937	tcp udp	jwserver	JetVWay Server Port
1938	tcp udp	jwclient	JetVWay Client Port
1939	tcp udp	jvserver	JetVision Server Port
1940	tcp udp	jvclient	JetVision Client Port
1941	tcp udp	dic-aida	DIC-Aida
1942	tcp udp	res	Real Enterprise Service
1943	tcp udp	beeyond-media	Beeyond Media
1944	tcp udp	close-combat	close-combat
1945	tcp udp	dialogic-elmd	dialogic-elmd
1946	tcp udp	tekpls	tekpls
1947	tcp udp	sentinelsrm	SentinelSRM	Unauthorized Use Known on port 1947
1948	tcp udp	eye2eye	eye2eye
1949	tcp udp	ismaeasdaqlive	ISMA Easdaq Live
1950	tcp udp	ismaeasdaqtest	ISMA Easdaq Test
1951	tcp udp	bcs-lmserver	bcs-lmserver
1952	tcp udp	mpnjsc	mpnjsc
1953	tcp udp	rapidbase	Rapid Base
1954	tcp udp	abr-api	ABR-API (diskbridge)
1955	tcp udp	abr-secure	ABR-Secure Data (diskbridge)
1956	tcp udp	vrtl-vmf-ds	Vertel VMF DS
1957	tcp udp	unix-status	unix-status
1958	tcp udp	dxadmind	CA Administration Daemon
1959	tcp udp	simp-all	SIMP Channel
1960	tcp udp	nasmanager	Merit DAC NASmanager
1961	tcp udp	bts-appserver	BTS APPSERVER
1962	tcp udp	biap-mp	BIAP-MP
1963	tcp udp	webmachine	WebMachine
1964	tcp udp	solid-e-engine	SOLID E ENGINE
1965	tcp udp	tivoli-npm	Tivoli NPM
1966	tcp udp	slush	Slush
1967	tcp udp	sns-quote	SNS Quote
1968	tcp udp	lipsinc	LIPSinc
1969	tcp udp	lipsinc1	LIPSinc 1
1970	tcp udp	netop-rc	NetOp Remote Control
1971	tcp udp	netop-school	NetOp School
1972	tcp udp	intersys-cache	Cache
1973	tcp udp	dlsrap	Data Link Switching Remote Access Protocol
1974	tcp udp	drp	DRP
1975	tcp udp	tcoflashagent	TCO Flash Agent
1976	tcp udp	tcoregagent	TCO Reg Agent
1977	tcp udp	tcoaddressbook	TCO Address Book
1978	tcp udp	unisql	UniSQL
1979	tcp udp	unisql-java	UniSQL Java
1980	tcp udp	panquest-xact	PanQuest XACT
1981	tcp udp	p2pq	p2pQ
1982	tcp udp	estamp	Evidentiary Timestamp
1983	tcp udp	lhtp	Loophole Test Protocol
1984	tcp udp	bb	BB
1985	tcp udp	hsrp	Hot Standby Router Protocol
1986	tcp udp	licensedaemon	cisco license management
1987	tcp udp	tr-rsrb-p1	cisco RSRB Priority 1 port
1988	tcp udp	tr-rsrb-p2	cisco RSRB Priority 2 port
1989	tcp udp	tr-rsrb-p3	cisco RSRB Priority 3 port
1989	tcp udp	mshnet	MHSnet system
1990	tcp udp	stun-p1	cisco STUN Priority 1 port
1991	tcp udp	stun-p2	cisco STUN Priority 2 port
1992	tcp udp	stun-p3	cisco STUN Priority 3 port
1992	tcp udp	ipsendmsg	IPsendmsg
1993	tcp udp	snmp-tcp-port	cisco SNMP TCP port
1994	tcp udp	stun-port	cisco serial tunnel port
1995	tcp udp	perf-port	cisco perf port
1996	tcp udp	tr-rsrb-port	cisco Remote SRB port
1997	tcp udp	gdp-port	cisco Gateway Discovery Protocol
1998	tcp udp	x25-svc-port	cisco X.25 service (XOT)
1999	tcp udp	tcp-id-port	cisco identification port
2000	tcp udp	cisco-sccp	Cisco SCCP; udp: Cisco SCCp
2001	tcp	dc
2001	udp	wizard	curry
2002	tcp udp	globe
2003	tcp udp	brutus	Brutus Server
2004	tcp	mailbox
2004	udp	emce	CCWS mm conf
2005	tcp	berknet
2005	udp	oracle
2006	tcp	invokator
2006	udp	raid-cd	raid
2007	tcp	dectalk
2007	udp	raid-am
2008	tcp	conf
2008	udp	terminaldb
2009	tcp	news
2009	udp	whosockami
2010	tcp	search
2010	udp	pipe-server	IANA assigned this well-formed service name as a replacement for "pipe_server".
2010	udp	pipe_server
2011	tcp	raid-cc	raid
2011	udp	servserv
2012	tcp	ttyinfo
2012	udp	raid-ac
2013	tcp	raid-am
2013	udp	raid-cd
2014	tcp	troff
2014	udp	raid-sf
2015	tcp	cypress
2015	udp	raid-cs
2016	tcp udp	bootserver
2017	tcp	cypress-stat
2017	udp	bootclient
2018	tcp	terminaldb
2018	udp	rellpack
2019	tcp	whosockami
2019	udp	about
2020	tcp udp	xinupageserver
2021	tcp	servexec
2021	udp	xinuexpansion1
2022	tcp	down
2022	udp	xinuexpansion2
2023	tcp udp	xinuexpansion3
2024	tcp udp	xinuexpansion4
2025	tcp	ellpack
2025	udp	xribs
2026	tcp udp	scrabble
2027	tcp udp	shadowserver
2028	tcp udp	submitserver
2029	tcp udp	hsrpv6	Hot Standby Router Protocol IPv6
2030	tcp udp	device2
2031	tcp udp	mobrien-chat	mobrien-chat
2032	tcp udp	blackboard
2033	tcp udp	glogger
2034	tcp udp	scoremgr
2035	tcp udp	imsldoc
2036	tcp udp	e-dpnet	Ethernet WS DP network
2037	tcp udp	applus	APplus Application Server	Unauthorized Use Known on port 2037
2038	tcp udp	objectmanager
2039	tcp udp	prizma	Prizma Monitoring Service
2040	tcp udp	lam
2041	tcp udp	interbase
2042	tcp udp	isis	isis
2043	tcp udp	isis-bcast	isis-bcast
2044	tcp udp	rimsl
2045	tcp udp	cdfunc
2046	tcp udp	sdfunc
2047	tcp udp	dls
2048	tcp udp	dls-monitor
2049	tcp udp	shilp
2049	tcp udp sctp	nfs	Network File System - Sun Microsystems; sctp: Network File System
2050	tcp udp	av-emb-config	Avaya EMB Config Port
2051	tcp udp	epnsdp	EPNSDP
2052	tcp udp	clearvisn	clearVisn Services Port
2053	tcp udp	lot105-ds-upd	Lot105 DSuper Updates
2054	tcp udp	weblogin	Weblogin Port
2055	tcp udp	iop	Iliad-Odyssey Protocol
2056	tcp udp	omnisky	OmniSky Port
2057	tcp udp	rich-cp	Rich Content Protocol
2058	tcp udp	newwavesearch	NewWaveSearchables RMI
2059	tcp udp	bmc-messaging	BMC Messaging Service
2060	tcp udp	teleniumdaemon	Telenium Daemon IF
2061	tcp udp	netmount	NetMount
2062	tcp udp	icg-swp	ICG SWP Port
2063	tcp udp	icg-bridge	ICG Bridge Port
2064	tcp udp	icg-iprelay	ICG IP Relay Port
2065	tcp udp	dlsrpn	Data Link Switch Read Port Number
2066	tcp udp	aura	AVM USB Remote Architecture
2067	tcp udp	dlswpn	Data Link Switch Write Port Number
2068	tcp udp	avauthsrvprtcl	Avocent AuthSrv Protocol
2069	tcp udp	event-port	HTTP Event Port
2070	tcp udp	ah-esp-encap	AH and ESP Encapsulated in UDP packet
2071	tcp udp	acp-port	Axon Control Protocol
2072	tcp udp	msync	GlobeCast mSync
2073	tcp udp	gxs-data-port	DataReel Database Socket
2074	tcp udp	vrtl-vmf-sa	Vertel VMF SA
2075	tcp udp	newlixengine	Newlix ServerWare Engine
2076	tcp udp	newlixconfig	Newlix JSPConfig
2077	tcp udp	tsrmagt	Old Tivoli Storage Manager
2078	tcp udp	tpcsrvr	IBM Total Productivity Center Server
2079	tcp udp	idware-router	IDWARE Router Port
2080	tcp udp	autodesk-nlm	Autodesk NLM (FLEXlm)
2081	tcp udp	kme-trap-port	KME PRINTER TRAP PORT
2082	tcp udp	infowave	Infowave Mobility Server
2083	tcp udp	radsec	Secure Radius Service
2084	tcp udp	sunclustergeo	SunCluster Geographic
2085	tcp udp	ada-cip	ADA Control
2086	tcp udp	gnunet	GNUnet
2087	tcp udp	eli	ELI - Event Logging Integration
2088	tcp udp	ip-blf	IP Busy Lamp Field
2089	tcp udp	sep	Security Encapsulation Protocol - SEP
2090	tcp udp	lrp	Load Report Protocol
2091	tcp udp	prp	PRP
2092	tcp udp	descent3	Descent 3
2093	tcp udp	nbx-cc	NBX CC
2094	tcp udp	nbx-au	NBX AU
2095	tcp udp	nbx-ser	NBX SER
2096	tcp udp	nbx-dir	NBX DIR
2097	tcp udp	jetformpreview	Jet Form Preview
2098	tcp udp	dialog-port	Dialog Port
2099	tcp udp	h2250-annex-g	H.225.0 Annex G Signalling
2100	tcp udp	amiganetfs	Amiga Network Filesystem
2101	tcp udp	rtcm-sc104	rtcm-sc104
2102	tcp udp	zephyr-srv	Zephyr server
2103	tcp udp	zephyr-clt	Zephyr serv-hm connection
2104	tcp udp	zephyr-hm	Zephyr hostmanager
2105	tcp udp	minipay	MiniPay
2106	tcp udp	mzap	MZAP
2107	tcp udp	bintec-admin	BinTec Admin
2108	tcp udp	comcam	Comcam
2109	tcp udp	ergolight	Ergolight
2110	tcp udp	umsp	UMSP
2111	tcp udp	dsatp	OPNET Dynamic Sampling Agent Transaction Protocol
2112	tcp udp	idonix-metanet	Idonix MetaNet
2113	tcp udp	hsl-storm	HSL StoRM
2114	tcp udp	ariascribe	Classical Music Meta-Data Access and Enhancement
2115	tcp udp	kdm	Key Distribution Manager
2116	tcp udp	ccowcmr	CCOWCMR
2117	tcp udp	mentaclient	MENTACLIENT
2118	tcp udp	mentaserver	MENTASERVER
2119	tcp udp	gsigatekeeper	GSIGATEKEEPER
2120	tcp udp	qencp	Quick Eagle Networks CP
2121	tcp udp	scientia-ssdb	SCIENTIA-SSDB
2122	tcp udp	caupc-remote	CauPC Remote Control
2123	tcp udp	gtp-control	GTP-Control Plane (3GPP)
2124	tcp udp	elatelink	ELATELINK
2125	tcp udp	lockstep	LOCKSTEP
2126	tcp udp	pktcable-cops	PktCable-COPS
2127	tcp udp	index-pc-wb	INDEX-PC-WB
2128	tcp udp	net-steward	Net Steward Control
2129	tcp udp	cs-live	cs-live.com
2130	tcp udp	xds	XDS
2131	tcp udp	avantageb2b	Avantageb2b
2132	tcp udp	solera-epmap	SoleraTec End Point Map
2133	tcp udp	zymed-zpp	ZYMED-ZPP
2134	tcp udp	avenue	AVENUE
2135	tcp udp	gris	Grid Resource Information Server
2136	tcp udp	appworxsrv	APPWORXSRV
2137	tcp udp	connect	CONNECT
2138	tcp udp	unbind-cluster	UNBIND-CLUSTER
2139	tcp udp	ias-auth	IAS-AUTH
2140	tcp udp	ias-reg	IAS-REG
2141	tcp udp	ias-admind	IAS-ADMIND
2142	tcp udp	tdmoip	TDM OVER IP
2143	tcp udp	lv-jc	Live Vault Job Control
2144	tcp udp	lv-ffx	Live Vault Fast Object Transfer
2145	tcp udp	lv-pici	Live Vault Remote Diagnostic Console Support
2146	tcp udp	lv-not	Live Vault Admin Event Notification
2147	tcp udp	lv-auth	Live Vault Authentication
2148	tcp udp	veritas-ucl	VERITAS UNIVERSAL COMMUNICATION LAYER
2149	tcp udp	acptsys	ACPTSYS
2150	tcp udp	dynamic3d	DYNAMIC3D
2151	tcp udp	docent	DOCENT
2152	tcp udp	gtp-user	GTP-User Plane (3GPP)
2153	tcp udp	ctlptc	Control Protocol
2154	tcp udp	stdptc	Standard Protocol
2155	tcp udp	brdptc	Bridge Protocol
2156	tcp udp	trp	Talari Reliable Protocol
2157	tcp udp	xnds	Xerox Network Document Scan Protocol
2158	tcp udp	touchnetplus	TouchNetPlus Service
2159	tcp udp	gdbremote	GDB Remote Debug Port
2160	tcp udp	apc-2160	APC 2160
2161	tcp udp	apc-2161	APC 2161
2162	tcp udp	navisphere	Navisphere
2163	tcp udp	navisphere-sec	Navisphere Secure
2164	tcp udp	ddns-v3	Dynamic DNS Version 3
2165	tcp udp	x-bone-api	X-Bone API
2166	tcp udp	iwserver	iwserver
2167	tcp udp	raw-serial	Raw Async Serial Link
2168	tcp udp	easy-soft-mux	easy-soft Multiplexer
2169	tcp udp	brain	Backbone for Academic Information Notification (BRAIN)
2170	tcp udp	eyetv	EyeTV Server Port
2171	tcp udp	msfw-storage	MS Firewall Storage
2172	tcp udp	msfw-s-storage	MS Firewall SecureStorage
2173	tcp udp	msfw-replica	MS Firewall Replication
2174	tcp udp	msfw-array	MS Firewall Intra Array
2175	tcp udp	airsync	Microsoft Desktop AirSync Protocol
2176	tcp udp	rapi	Microsoft ActiveSync Remote API
2177	tcp udp	qwave	qWAVE Bandwidth Estimate
2178	tcp udp	bitspeer	Peer Services for BITS
2179	tcp udp	vmrdp	Microsoft RDP for virtual machines
2180	tcp udp	mc-gt-srv	Millicent Vendor Gateway Server
2181	tcp udp	eforward	eforward
2182	tcp udp	cgn-stat	CGN status
2183	tcp udp	cgn-config	Code Green configuration
2184	tcp udp	nvd	NVD User
2185	tcp udp	onbase-dds	OnBase Distributed Disk Services
2186	tcp udp	gtaua	Guy-Tek Automated Update Applications
2187	tcp	ssmc	Sepehr System Management Control
2187	udp	ssmd	Sepehr System Management Data
2188	tcp	radware-rpm	Radware Resource Pool Manager
2188	udp	(reserved)	Reserved
2189	tcp	radware-rpm-s	Secure Radware Resource Pool Manager
2189	udp	(reserved)	Reserved
2190	tcp udp	tivoconnect	TiVoConnect Beacon
2191	tcp udp	tvbus	TvBus Messaging
2192	tcp udp	asdis	ASDIS software management
2193	tcp udp	drwcs	Dr.Web Enterprise Management Service
2194-2196		(unassigned)	Unassigned	Unauthorized Use Known on ports 2194-2196
2197	tcp udp	mnp-exchange	MNP data exchange
2198	tcp udp	onehome-remote	OneHome Remote Access
2199	tcp udp	onehome-help	OneHome Service Port
2200	tcp udp	(reserved)	Reserved	This entry has been removed on 2019-07-05.
2201	tcp udp	ats	Advanced Training System Program
2202	tcp udp	imtc-map	Int. Multimedia Teleconferencing Cosortium
2203	tcp udp	b2-runtime	b2 Runtime Protocol
2204	tcp udp	b2-license	b2 License Server
2205	tcp udp	jps	Java Presentation Server
2206	tcp udp	hpocbus	HP OpenCall bus
2207	tcp udp	hpssd	HP Status and Services
2208	tcp udp	hpiod	HP I/O Backend
2209	tcp udp	rimf-ps	HP RIM for Files Portal Service
2210	tcp udp	noaaport	NOAAPORT Broadcast Network
2211	tcp udp	emwin	EMWIN
2212	tcp udp	leecoposserver	LeeCO POS Server Service
2213	tcp udp	kali	Kali
2214	tcp udp	rpi	RDQ Protocol Interface
2215	tcp udp	ipcore	IPCore.co.za GPRS
2216	tcp udp	vtu-comms	VTU data service
2217	tcp udp	gotodevice	GoToDevice Device Management
2218	tcp udp	bounzza	Bounzza IRC Proxy
2219	tcp udp	netiq-ncap	NetIQ NCAP Protocol
2220	tcp udp	netiq	NetIQ End2End
2221	tcp udp	ethernet-ip-s	EtherNet/IP over TLS; udp: EtherNet/IP over DTLS
2222	tcp udp	EtherNet-IP-1	EtherNet/IP I/O IANA assigned this well-formed service name as a replacement for "EtherNet/IP-1".
2222	tcp udp	EtherNet/IP-1	EtherNet/IP I/O
2223	tcp udp	rockwell-csp2	Rockwell CSP2
2224	tcp udp	efi-mg	Easy Flexible Internet/Multiplayer Games
2225	tcp sctp	rcip-itu	Resource Connection Initiation Protocol
2225	udp	(reserved)	Reserved
2226	tcp udp	di-drm	Digital Instinct DRM
2227	tcp udp	di-msg	DI Messaging Service
2228	tcp udp	ehome-ms	eHome Message Server
2229	tcp udp	datalens	DataLens Service
2230	tcp udp	queueadm	MetaSoft Job Queue Administration Service
2231	tcp udp	wimaxasncp	WiMAX ASN Control Plane Protocol
2232	tcp udp	ivs-video	IVS Video default
2233	tcp udp	infocrypt	INFOCRYPT
2234	tcp udp	directplay	DirectPlay
2235	tcp udp	sercomm-wlink	Sercomm-WLink
2236	tcp udp	nani	Nani
2237	tcp udp	optech-port1-lm	Optech Port1 License Manager
2238	tcp udp	aviva-sna	AVIVA SNA SERVER
2239	tcp udp	imagequery	Image Query
2240	tcp udp	recipe	RECIPe
2241	tcp udp	ivsd	IVS Daemon
2242	tcp udp	foliocorp	Folio Remote Server
2243	tcp udp	magicom	Magicom Protocol
2244	tcp udp	nmsserver	NMS Server
2245	tcp udp	hao	HaO
2246	tcp udp	pc-mta-addrmap	PacketCable MTA Addr Map
2247	tcp udp	antidotemgrsvr	Antidote Deployment Manager Service
2248	tcp udp	ums	User Management Service
2249	tcp udp	rfmp	RISO File Manager Protocol
2250	tcp udp	remote-collab	remote-collab
2251	tcp udp	dif-port	Distributed Framework Port
2252	tcp udp	njenet-ssl	NJENET using SSL
2253	tcp udp	dtv-chan-req	DTV Channel Request
2254	tcp udp	seispoc	Seismic P.O.C. Port
2255	tcp udp	vrtp	VRTP - ViRtue Transfer Protocol
2256	tcp udp	pcc-mfp	PCC MFP
2257	tcp udp	simple-tx-rx	simple text/file transfer
2258	tcp udp	rcts	Rotorcraft Communications Test System
2259	tcp udp	bid-serv	BIF identifiers resolution service
2260	tcp udp	apc-2260	APC 2260
2261	tcp udp	comotionmaster	CoMotion Master Server
2262	tcp udp	comotionback	CoMotion Backup Server
2263	tcp udp	ecwcfg	ECweb Configuration Service
2264	tcp udp	apx500api-1	Audio Precision Apx500 API Port 1
2265	tcp udp	apx500api-2	Audio Precision Apx500 API Port 2
2266	tcp udp	mfserver	M-Files Server; udp: M-files Server
2267	tcp udp	ontobroker	OntoBroker
2268	tcp udp	amt	AMT
2269	tcp udp	mikey	MIKEY
2270	tcp udp	starschool	starSchool
2271	tcp udp	mmcals	Secure Meeting Maker Scheduling
2272	tcp udp	mmcal	Meeting Maker Scheduling
2273	tcp udp	mysql-im	MySQL Instance Manager
2274	tcp udp	pcttunnell	PCTTunneller
2275	tcp udp	ibridge-data	iBridge Conferencing
2276	tcp udp	ibridge-mgmt	iBridge Management
2277	tcp udp	bluectrlproxy	Bt device control proxy
2278	tcp udp	s3db	Simple Stacked Sequences Database
2279	tcp udp	xmquery	xmquery
2280	tcp udp	lnvpoller	LNVPOLLER
2281	tcp udp	lnvconsole	LNVCONSOLE
2282	tcp udp	lnvalarm	LNVALARM
2283	tcp udp	lnvstatus	LNVSTATUS
2284	tcp udp	lnvmaps	LNVMAPS
2285	tcp udp	lnvmailmon	LNVMAILMON
2286	tcp udp	nas-metering	NAS-Metering
2287	tcp udp	dna	DNA
2288	tcp udp	netml	NETML
2289	tcp udp	dict-lookup	Lookup dict server
2290	tcp udp	sonus-logging	Sonus Logging Services
2291	tcp udp	eapsp	EPSON Advanced Printer Share Protocol
2292	tcp udp	mib-streaming	Sonus Element Management Services
2293	tcp udp	npdbgmngr	Network Platform Debug Manager
2294	tcp udp	konshus-lm	Konshus License Manager (FLEX)
2295	tcp udp	advant-lm	Advant License Manager
2296	tcp udp	theta-lm	Theta License Manager (Rainbow)
2297	tcp udp	d2k-datamover1	D2K DataMover 1
2298	tcp udp	d2k-datamover2	D2K DataMover 2
2299	tcp udp	pc-telecommute	PC Telecommute
2300	tcp udp	cvmmon	CVMMON
2301	tcp udp	cpq-wbem	Compaq HTTP
2302	tcp udp	binderysupport	Bindery Support
2303	tcp udp	proxy-gateway	Proxy Gateway
2304	tcp udp	attachmate-uts	Attachmate UTS
2305	tcp udp	mt-scaleserver	MT ScaleServer
2306	tcp udp	tappi-boxnet	TAPPI BoxNet
2307	tcp udp	pehelp	pehelp
2308	tcp udp	sdhelp	sdhelp
2309	tcp udp	sdserver	SD Server
2310	tcp udp	sdclient	SD Client
2311	tcp udp	messageservice	Message Service
2312	tcp udp	wanscaler	WANScaler Communication Service
2313	tcp udp	iapp	IAPP (Inter Access Point Protocol)
2314	tcp udp	cr-websystems	CR WebSystems
2315	tcp udp	precise-sft	Precise Sft.
2316	tcp udp	sent-lm	SENT License Manager
2317	tcp udp	attachmate-g32	Attachmate G32
2318	tcp udp	cadencecontrol	Cadence Control
2319	tcp udp	infolibria	InfoLibria
2320	tcp udp	siebel-ns	Siebel NS
2321	tcp udp	rdlap	RDLAP
2322	tcp udp	ofsd	ofsd
2323	tcp udp	3d-nfsd	3d-nfsd
2324	tcp udp	cosmocall	Cosmocall
2325	tcp udp	ansysli	ANSYS Licensing Interconnect
2326	tcp udp	idcp	IDCP
2327	tcp udp	xingcsm	xingcsm
2328	tcp udp	netrix-sftm	Netrix SFTM
2329	tcp udp	nvd	NVD
2330	tcp udp	tscchat	TSCCHAT
2331	tcp udp	agentview	AGENTVIEW
2332	tcp udp	rcc-host	RCC Host
2333	tcp udp	snapp	SNAPP
2334	tcp udp	ace-client	ACE Client Auth
2335	tcp udp	ace-proxy	ACE Proxy
2336	tcp udp	appleugcontrol	Apple UG Control
2337	tcp udp	ideesrv	ideesrv
2338	tcp udp	norton-lambert	Norton Lambert
2339	tcp udp	3com-webview	3Com WebView
2340	tcp udp	wrs-registry	WRS Registry IANA assigned this well-formed service name as a replacement for "wrs_registry".
2340	tcp udp	wrs_registry	WRS Registry
2341	tcp udp	xiostatus	XIO Status
2342	tcp udp	manage-exec	Seagate Manage Exec
2343	tcp udp	nati-logos	nati logos
2344	tcp udp	fcmsys	fcmsys
2345	tcp udp	dbm	dbm
2346	tcp udp	redstorm-join	Game Connection Port IANA assigned this well-formed service name as a replacement for "redstorm_join".
2346	tcp udp	redstorm_join	Game Connection Port
2347	tcp udp	redstorm-find	Game Announcement and Location IANA assigned this well-formed service name as a replacement for "redstorm_find".
2347	tcp udp	redstorm_find	Game Announcement and Location
2348	tcp udp	redstorm-info	Information to query for game status IANA assigned this well-formed service name as a replacement for "redstorm_info".
2348	tcp udp	redstorm_info	Information to query for game status
2349	tcp udp	redstorm-diag	Diagnostics Port IANA assigned this well-formed service name as a replacement for "redstorm_diag".
2349	tcp udp	redstorm_diag	Diagnostics Port
2350	tcp udp	psbserver	Pharos Booking Server
2351	tcp udp	psrserver	psrserver
2352	tcp udp	pslserver	pslserver
2353	tcp udp	pspserver	pspserver
2354	tcp udp	psprserver	psprserver
2355	tcp udp	psdbserver	psdbserver
2356	tcp udp	gxtelmd	GXT License Managemant
2357	tcp udp	unihub-server	UniHub Server
2358	tcp udp	futrix	Futrix
2359	tcp udp	flukeserver	FlukeServer
2360	tcp udp	nexstorindltd	NexstorIndLtd
2361	tcp udp	tl1	TL1
2362	tcp udp	digiman	digiman
2363	tcp udp	mediacntrlnfsd	Media Central NFSD
2364	tcp udp	oi-2000	OI-2000
2365	tcp udp	dbref	dbref
2366	tcp udp	qip-login	qip-login
2367	tcp udp	service-ctrl	Service Control
2368	tcp udp	opentable	OpenTable
2369	tcp udp	bif-p2p	Blockchain Identifier InFrastructure P2P
2370	tcp udp	l3-hbmon	L3-HBMon
2371	tcp	rda	Remote Device Access
2371	udp	(reserved)	Reserved
2372	tcp udp	lanmessenger	LanMessenger
2373	tcp	remographlm	Remograph License Manager
2373	udp	(reserved)	Reserved
2374	tcp	hydra	Hydra RPC
2374	udp	(reserved)	Reserved
2375	tcp	docker	Docker REST API (plain text)
2375	udp	(reserved)	Reserved
2376	tcp	docker-s	Docker REST API (ssl)
2377	tcp	swarm	RPC interface for Docker Swarm
2377	udp	(reserved)	Reserved
2378	tcp	(reserved)	Reserved
2378	udp	dali	DALI lighting control
2379	tcp	etcd-client	etcd client communication
2379	udp	(reserved)	Reserved
2380	tcp	etcd-server	etcd server to server communication
2380	udp	(reserved)	Reserved
2381	tcp udp	compaq-https	Compaq HTTPS
2382	tcp udp	ms-olap3	Microsoft OLAP
2383	tcp udp	ms-olap4	Microsoft OLAP
2384	tcp	sd-request	SD-REQUEST
2384	udp	sd-capacity	SD-CAPACITY
2385	tcp udp	sd-data	SD-DATA
2386	tcp udp	virtualtape	Virtual Tape
2387	tcp udp	vsamredirector	VSAM Redirector
2388	tcp udp	mynahautostart	MYNAH AutoStart
2389	tcp udp	ovsessionmgr	OpenView Session Mgr
2390	tcp udp	rsmtp	RSMTP
2391	tcp udp	3com-net-mgmt	3COM Net Management
2392	tcp udp	tacticalauth	Tactical Auth
2393	tcp udp	ms-olap1	MS OLAP 1
2394	tcp udp	ms-olap2	MS OLAP 2
2395	tcp udp	lan900-remote	LAN900 Remote IANA assigned this well-formed service name as a replacement for "lan900_remote".
2395	tcp udp	lan900_remote	LAN900 Remote
2396	tcp udp	wusage	Wusage
2397	tcp udp	ncl	NCL
2398	tcp udp	orbiter	Orbiter
2399	tcp udp	fmpro-fdal	FileMaker, Inc. - Data Access Layer
2400	tcp udp	opequus-server	OpEquus Server
2401	tcp udp	cvspserver	cvspserver
2402	tcp udp	taskmaster2000	TaskMaster 2000 Server
2403	tcp udp	taskmaster2000	TaskMaster 2000 Web
2404	tcp udp	iec-104	IEC 60870-5-104 process control over IP
2405	tcp udp	trc-netpoll	TRC Netpoll
2406	tcp udp	jediserver	JediServer
2407	tcp udp	orion	Orion
2408	tcp	railgun-webaccl	CloudFlare Railgun Web Acceleration Protocol
2408	udp	(reserved)	Reserved	This entry is being removed on 2012-03-09.
2409	tcp udp	sns-protocol	SNS Protocol
2410	tcp udp	vrts-registry	VRTS Registry
2411	tcp udp	netwave-ap-mgmt	Netwave AP Management
2412	tcp udp	cdn	CDN
2413	tcp udp	orion-rmi-reg	orion-rmi-reg
2414	tcp udp	beeyond	Beeyond
2415	tcp udp	codima-rtp	Codima Remote Transaction Protocol
2416	tcp udp	rmtserver	RMT Server
2417	tcp udp	composit-server	Composit Server
2418	tcp udp	cas	cas
2419	tcp udp	attachmate-s2s	Attachmate S2S
2420	tcp udp	dslremote-mgmt	DSL Remote Management
2421	tcp udp	g-talk	G-Talk
2422	tcp udp	crmsbits	CRMSBITS
2423	tcp udp	rnrp	RNRP
2424	tcp udp	kofax-svr	KOFAX-SVR
2425	tcp udp	fjitsuappmgr	Fujitsu App Manager
2426	tcp udp	vcmp	VeloCloud MultiPath Protocol
2427	tcp udp	mgcp-gateway	Media Gateway Control Protocol Gateway
2428	tcp udp	ott	One Way Trip Time
2429	tcp udp	ft-role	FT-ROLE
2430	tcp udp	venus	venus
2431	tcp udp	venus-se	venus-se
2432	tcp udp	codasrv	codasrv
2433	tcp udp	codasrv-se	codasrv-se
2434	tcp udp	pxc-epmap	pxc-epmap
2435	tcp udp	optilogic	OptiLogic
2436	tcp udp	topx	TOP/X
2437	tcp udp	unicontrol	UniControl
2438	tcp udp	msp	MSP
2439	tcp udp	sybasedbsynch	SybaseDBSynch
2440	tcp udp	spearway	Spearway Lockers
2441	tcp udp	pvsw-inet	Pervasive I*net Data Server
2442	tcp udp	netangel	Netangel
2443	tcp udp	powerclientcsf	PowerClient Central Storage Facility
2444	tcp udp	btpp2sectrans	BT PP2 Sectrans
2445	tcp udp	dtn1	DTN1
2446	tcp udp	bues-service	bues_service IANA assigned this well-formed service name as a replacement for "bues_service".
2446	tcp udp	bues_service	bues_service
2447	tcp udp	ovwdb	OpenView NNM daemon
2448	tcp udp	hpppssvr	hpppsvr
2449	tcp udp	ratl	RATL
2450	tcp udp	netadmin	netadmin
2451	tcp udp	netchat	netchat
2452	tcp udp	snifferclient	SnifferClient
2453	tcp udp	madge-ltd	madge ltd
2454	tcp udp	indx-dds	IndX-DDS
2455	tcp udp	wago-io-system	WAGO-IO-SYSTEM
2456	tcp udp	altav-remmgt	altav-remmgt
2457	tcp udp	rapido-ip	Rapido_IP
2458	tcp udp	griffin	griffin
2459	tcp udp	xrpl	Community
2460	tcp udp	ms-theater	ms-theater
2461	tcp udp	qadmifoper	qadmifoper
2462	tcp udp	qadmifevent	qadmifevent
2463	tcp udp	lsi-raid-mgmt	LSI RAID Management
2464	tcp udp	direcpc-si	DirecPC SI
2465	tcp udp	lbm	Load Balance Management
2466	tcp udp	lbf	Load Balance Forwarding
2467	tcp udp	high-criteria	High Criteria
2468	tcp udp	qip-msgd	qip_msgd
2469	tcp udp	mti-tcs-comm	MTI-TCS-COMM
2470	tcp udp	taskman-port	taskman port
2471	tcp udp	seaodbc	SeaODBC
2472	tcp udp	c3	C3
2473	tcp udp	aker-cdp	Aker-cdp
2474	tcp udp	vitalanalysis	Vital Analysis
2475	tcp udp	ace-server	ACE Server
2476	tcp udp	ace-svr-prop	ACE Server Propagation
2477	tcp udp	ssm-cvs	SecurSight Certificate Valifation Service
2478	tcp udp	ssm-cssps	SecurSight Authentication Server (SSL)
2479	tcp udp	ssm-els	SecurSight Event Logging Server (SSL)
2480	tcp udp	powerexchange	Informatica PowerExchange Listener
2481	tcp udp	giop	Oracle GIOP
2482	tcp udp	giop-ssl	Oracle GIOP SSL
2483	tcp udp	ttc	Oracle TTC
2484	tcp udp	ttc-ssl	Oracle TTC SSL
2485	tcp udp	netobjects1	Net Objects1
2486	tcp udp	netobjects2	Net Objects2
2487	tcp udp	pns	Policy Notice Service
2488	tcp udp	moy-corp	Moy Corporation
2489	tcp udp	tsilb	TSILB
2490	tcp udp	qip-qdhcp	qip_qdhcp
2491	tcp udp	conclave-cpp	Conclave CPP
2492	tcp udp	groove	GROOVE
2493	tcp udp	talarian-mqs	Talarian MQS
2494	tcp udp	bmc-ar	BMC AR
2495	tcp udp	fast-rem-serv	Fast Remote Services
2496	tcp udp	dirgis	DIRGIS
2497	tcp udp	quaddb	Quad DB
2498	tcp udp	odn-castraq	ODN-CasTraq
2499	tcp udp	unicontrol	UniControl
2500	tcp udp	rtsserv	Resource Tracking system server
2501	tcp udp	rtsclient	Resource Tracking system client
2502	tcp udp	kentrox-prot	Kentrox Protocol
2503	tcp udp	nms-dpnss	NMS-DPNSS
2504	tcp udp	wlbs	WLBS
2505	tcp udp	ppcontrol	PowerPlay Control
2506	tcp udp	jbroker	jbroker
2507	tcp udp	spock	spock
2508	tcp udp	jdatastore	JDataStore
2509	tcp udp	fjmpss	fjmpss
2510	tcp udp	fjappmgrbulk	fjappmgrbulk
2511	tcp udp	metastorm	Metastorm
2512	tcp udp	citrixima	Citrix IMA
2513	tcp udp	citrixadmin	Citrix ADMIN
2514	tcp udp	facsys-ntp	Facsys NTP
2515	tcp udp	facsys-router	Facsys Router
2516	tcp udp	maincontrol	Main Control
2517	tcp udp	call-sig-trans	H.323 Annex E Call Control Signalling Transport
2518	tcp udp	willy	Willy
2519	tcp udp	globmsgsvc	globmsgsvc
2520	tcp udp	pvsw	Pervasive Listener
2521	tcp udp	adaptecmgr	Adaptec Manager
2522	tcp udp	windb	WinDb
2523	tcp udp	qke-llc-v3	Qke LLC V.3
2524	tcp udp	optiwave-lm	Optiwave License Management
2525	tcp udp	ms-v-worlds	MS V-Worlds
2526	tcp udp	ema-sent-lm	EMA License Manager
2527	tcp udp	iqserver	IQ Server
2528	tcp udp	ncr-ccl	NCR CCL IANA assigned this well-formed service name as a replacement for "ncr_ccl".
2528	tcp udp	ncr_ccl	NCR CCL
2529	tcp udp	utsftp	UTS FTP
2530	tcp udp	vrcommerce	VR Commerce
2531	tcp udp	ito-e-gui	ITO-E GUI
2532	tcp udp	ovtopmd	OVTOPMD
2533	tcp udp	snifferserver	SnifferServer
2534	tcp udp	combox-web-acc	Combox Web Access
2535	tcp udp	madcap	MADCAP
2536	tcp udp	btpp2audctr1	btpp2audctr1
2537	tcp udp	upgrade	Upgrade Protocol
2538	tcp udp	vnwk-prapi	vnwk-prapi
2539	tcp udp	vsiadmin	VSI Admin
2540	tcp udp	lonworks	LonWorks
2541	tcp udp	lonworks2	LonWorks2
2542	tcp udp	udrawgraph	uDraw(Graph)
2543	tcp udp	reftek	REFTEK
2544	tcp udp	novell-zen	Management Daemon Refresh
2545	tcp udp	sis-emt	sis-emt
2546	tcp udp	vytalvaultbrtp	vytalvaultbrtp
2547	tcp udp	vytalvaultvsmp	vytalvaultvsmp
2548	tcp udp	vytalvaultpipe	vytalvaultpipe
2549	tcp udp	ipass	IPASS
2550	tcp udp	ads	ADS
2551	tcp udp	isg-uda-server	ISG UDA Server
2552	tcp udp	call-logging	Call Logging
2553	tcp udp	efidiningport	efidiningport
2554	tcp udp	vcnet-link-v10	VCnet-Link v10
2555	tcp udp	compaq-wcp	Compaq WCP
2556	tcp udp	nicetec-nmsvc	nicetec-nmsvc
2557	tcp udp	nicetec-mgmt	nicetec-mgmt
2558	tcp udp	pclemultimedia	PCLE Multi Media
2559	tcp udp	lstp	LSTP
2560	tcp udp	labrat	labrat
2561	tcp udp	mosaixcc	MosaixCC
2562	tcp udp	delibo	Delibo
2563	tcp udp	cti-redwood	CTI Redwood
2564	tcp udp	hp-3000-telnet	HP 3000 NS/VT block mode telnet
2565	tcp udp	coord-svr	Coordinator Server
2566	tcp udp	pcs-pcw	pcs-pcw
2567	tcp udp	clp	Cisco Line Protocol
2568	tcp udp	spamtrap	SPAM TRAP
2569	tcp udp	sonuscallsig	Sonus Call Signal
2570	tcp udp	hs-port	HS Port
2571	tcp udp	cecsvc	CECSVC
2572	tcp udp	ibp	IBP
2573	tcp udp	trustestablish	Trust Establish
2574	tcp udp	blockade-bpsp	Blockade BPSP
2575	tcp udp	hl7	HL7
2576	tcp udp	tclprodebugger	TCL Pro Debugger
2577	tcp udp	scipticslsrvr	Scriptics Lsrvr
2578	tcp udp	rvs-isdn-dcp	RVS ISDN DCP
2579	tcp udp	mpfoncl	mpfoncl
2580	tcp udp	tributary	Tributary
2581	tcp udp	argis-te	ARGIS TE
2582	tcp udp	argis-ds	ARGIS DS
2583	tcp udp	mon	MON
2584	tcp udp	cyaserv	cyaserv
2585	tcp udp	netx-server	NETX Server
2586	tcp udp	netx-agent	NETX Agent
2587	tcp udp	masc	MASC
2588	tcp udp	privilege	Privilege
2589	tcp udp	quartus-tcl	quartus tcl
2590	tcp udp	idotdist	idotdist
2591	tcp udp	maytagshuffle	Maytag Shuffle
2592	tcp udp	netrek	netrek
2593	tcp udp	mns-mail	MNS Mail Notice Service
2594	tcp udp	dts	Data Base Server
2595	tcp udp	worldfusion1	World Fusion 1
2596	tcp udp	worldfusion2	World Fusion 2
2597	tcp udp	homesteadglory	Homestead Glory
2598	tcp udp	citriximaclient	Citrix MA Client
2599	tcp udp	snapd	Snap Discovery
2600	tcp udp	hpstgmgr	HPSTGMGR
2601	tcp udp	discp-client	discp client
2602	tcp udp	discp-server	discp server
2603	tcp udp	servicemeter	Service Meter
2604	tcp udp	nsc-ccs	NSC CCS
2605	tcp udp	nsc-posa	NSC POSA
2606	tcp udp	netmon	Dell Netmon
2607	tcp udp	connection	Dell Connection
2608	tcp udp	wag-service	Wag Service
2609	tcp udp	system-monitor	System Monitor
2610	tcp udp	versa-tek	VersaTek
2611	tcp udp	lionhead	LIONHEAD
2612	tcp udp	qpasa-agent	Qpasa Agent
2613	tcp udp	smntubootstrap	SMNTUBootstrap
2614	tcp udp	neveroffline	Never Offline
2615	tcp udp	firepower	firepower
2616	tcp udp	appswitch-emp	appswitch-emp
2617	tcp udp	cmadmin	Clinical Context Managers
2618	tcp udp	priority-e-com	Priority E-Com
2619	tcp udp	bruce	bruce
2620	tcp udp	lpsrecommender	LPSRecommender
2621	tcp udp	miles-apart	Miles Apart Jukebox Server
2622	tcp udp	metricadbc	MetricaDBC
2623	tcp udp	lmdp	LMDP
2624	tcp udp	aria	Aria
2625	tcp udp	blwnkl-port	Blwnkl Port
2626	tcp udp	gbjd816	gbjd816
2627	tcp udp	moshebeeri	Moshe Beeri
2628	tcp udp	dict	DICT
2629	tcp udp	sitaraserver	Sitara Server
2630	tcp udp	sitaramgmt	Sitara Management
2631	tcp udp	sitaradir	Sitara Dir
2632	tcp udp	irdg-post	IRdg Post
2633	tcp udp	interintelli	InterIntelli
2634	tcp udp	pk-electronics	PK Electronics
2635	tcp udp	backburner	Back Burner
2636	tcp udp	solve	Solve
2637	tcp udp	imdocsvc	Import Document Service
2638	tcp udp	sybaseanywhere	Sybase Anywhere
2639	tcp udp	aminet	AMInet
2640	tcp udp	ami-control	Alcorn McBride Inc protocol used for device control
2641	tcp udp	hdl-srv	HDL Server
2642	tcp udp	tragic	Tragic
2643	tcp udp	gte-samp	GTE-SAMP
2644	tcp udp	travsoft-ipx-t	Travsoft IPX Tunnel
2645	tcp udp	novell-ipx-cmd	Novell IPX CMD
2646	tcp udp	and-lm	AND License Manager
2647	tcp udp	syncserver	SyncServer
2648	tcp udp	upsnotifyprot	Upsnotifyprot
2649	tcp udp	vpsipport	VPSIPPORT
2650	tcp udp	eristwoguns	eristwoguns
2651	tcp udp	ebinsite	EBInSite
2652	tcp udp	interpathpanel	InterPathPanel
2653	tcp udp	sonus	Sonus
2654	tcp udp	corel-vncadmin	Corel VNC Admin IANA assigned this well-formed service name as a replacement for "corel_vncadmin".
2654	tcp udp	corel_vncadmin	Corel VNC Admin
2655	tcp udp	unglue	UNIX Nt Glue
2656	tcp udp	kana	Kana
2657	tcp udp	sns-dispatcher	SNS Dispatcher
2658	tcp udp	sns-admin	SNS Admin
2659	tcp udp	sns-query	SNS Query
2660	tcp udp	gcmonitor	GC Monitor
2661	tcp udp	olhost	OLHOST
2662	tcp udp	bintec-capi	BinTec-CAPI	Unauthorized Use Known on port 2662
2663	tcp udp	bintec-tapi	BinTec-TAPI
2664	tcp udp	patrol-mq-gm	Patrol for MQ GM
2665	tcp udp	patrol-mq-nm	Patrol for MQ NM
2666	tcp udp	extensis	extensis
2667	tcp udp	alarm-clock-s	Alarm Clock Server
2668	tcp udp	alarm-clock-c	Alarm Clock Client
2669	tcp udp	toad	TOAD
2670	tcp udp	tve-announce	TVE Announce
2671	tcp udp	newlixreg	newlixreg
2672	tcp udp	nhserver	nhserver
2673	tcp udp	firstcall42	First Call 42
2674	tcp udp	ewnn	ewnn
2675	tcp udp	ttc-etap	TTC ETAP
2676	tcp udp	simslink	SIMSLink
2677	tcp udp	gadgetgate1way	Gadget Gate 1 Way
2678	tcp udp	gadgetgate2way	Gadget Gate 2 Way
2679	tcp udp	syncserverssl	Sync Server SSL
2680	tcp udp	pxc-sapxom	pxc-sapxom
2681	tcp udp	mpnjsomb	mpnjsomb
2682		(unassigned)	Removed
2683	tcp udp	ncdloadbalance	NCDLoadBalance
2684	tcp udp	mpnjsosv	mpnjsosv
2685	tcp udp	mpnjsocl	mpnjsocl
2686	tcp udp	mpnjsomg	mpnjsomg
2687	tcp udp	pq-lic-mgmt	pq-lic-mgmt
2688	tcp udp	md-cg-http	md-cf-http
2689	tcp udp	fastlynx	FastLynx
2690	tcp udp	hp-nnm-data	HP NNM Embedded Database
2691	tcp udp	itinternet	ITInternet ISM Server
2692	tcp udp	admins-lms	Admins LMS
2693	tcp udp	(unassigned)	Unassigned	(Removed 2004-2-6)
2694	tcp udp	pwrsevent	pwrsevent
2695	tcp udp	vspread	VSPREAD
2696	tcp udp	unifyadmin	Unify Admin
2697	tcp udp	oce-snmp-trap	Oce SNMP Trap Port
2698	tcp udp	mck-ivpip	MCK-IVPIP
2699	tcp udp	csoft-plusclnt	Csoft Plus Client
2700	tcp udp	tqdata	tqdata
2701	tcp udp	sms-rcinfo	SMS RCINFO
2702	tcp udp	sms-xfer	SMS XFER
2703	tcp udp	sms-chat	SMS CHAT
2704	tcp udp	sms-remctrl	SMS REMCTRL
2705	tcp udp	sds-admin	SDS Admin
2706	tcp udp	ncdmirroring	NCD Mirroring
2707	tcp udp	emcsymapiport	EMCSYMAPIPORT
2708	tcp udp	banyan-net	Banyan-Net
2709	tcp udp	supermon	Supermon
2710	tcp udp	sso-service	SSO Service
2711	tcp udp	sso-control	SSO Control
2712	tcp udp	aocp	Axapta Object Communication Protocol
2713	tcp udp	raventbs	Raven Trinity Broker Service
2714	tcp udp	raventdm	Raven Trinity Data Mover
2715	tcp udp	hpstgmgr2	HPSTGMGR2
2716	tcp udp	inova-ip-disco	Inova IP Disco
2717	tcp udp	pn-requester	PN REQUESTER
2718	tcp udp	pn-requester2	PN REQUESTER 2
2719	tcp udp	scan-change	Scan & Change
2720	tcp udp	wkars	wkars
2721	tcp udp	smart-diagnose	Smart Diagnose
2722	tcp udp	proactivesrvr	Proactive Server
2723	tcp udp	watchdog-nt	WatchDog NT Protocol
2724	tcp udp	qotps	qotps
2725	tcp udp	msolap-ptp2	MSOLAP PTP2
2726	tcp udp	tams	TAMS
2727	tcp udp	mgcp-callagent	Media Gateway Control Protocol Call Agent
2728	tcp udp	sqdr	SQDR
2729	tcp udp	tcim-control	TCIM Control
2730	tcp udp	nec-raidplus	NEC RaidPlus
2731	tcp udp	fyre-messanger	Fyre Messanger
2732	tcp udp	g5m	G5M
2733	tcp udp	signet-ctf	Signet CTF
2734	tcp udp	ccs-software	CCS Software
2735	tcp udp	netiq-mc	NetIQ Monitor Console
2736	tcp udp	radwiz-nms-srv	RADWIZ NMS SRV
2737	tcp udp	srp-feedback	SRP Feedback
2738	tcp udp	ndl-tcp-ois-gw	NDL TCP-OSI Gateway
2739	tcp udp	tn-timing	TN Timing
2740	tcp udp	alarm	Alarm
2741	tcp udp	tsb	TSB
2742	tcp udp	tsb2	TSB2
2743	tcp udp	murx	murx
2744	tcp udp	honyaku	honyaku
2745	tcp udp	urbisnet	URBISNET
2746	tcp udp	cpudpencap	CPUDPENCAP
2747	tcp udp	fjippol-swrly
2748	tcp udp	fjippol-polsvr
2749	tcp udp	fjippol-cnsl
2750	tcp udp	fjippol-port1
2751	tcp udp	fjippol-port2
2752	tcp udp	rsisysaccess	RSISYS ACCESS
2753	tcp udp	de-spot	de-spot
2754	tcp udp	apollo-cc	APOLLO CC
2755	tcp udp	expresspay	Express Pay
2756	tcp udp	simplement-tie	simplement-tie
2757	tcp udp	cnrp	CNRP
2758	tcp udp	apollo-status	APOLLO Status
2759	tcp udp	apollo-gms	APOLLO GMS
2760	tcp udp	sabams	Saba MS
2761	tcp udp	dicom-iscl	DICOM ISCL
2762	tcp udp	dicom-tls	DICOM TLS
2763	tcp udp	desktop-dna	Desktop DNA
2764	tcp udp	data-insurance	Data Insurance
2765	tcp udp	qip-audup	qip-audup
2766	tcp udp	compaq-scp	Compaq SCP
2767	tcp udp	uadtc	UADTC
2768	tcp udp	uacs	UACS
2769	tcp udp	exce	eXcE
2770	tcp udp	veronica	Veronica
2771	tcp udp	vergencecm	Vergence CM
2772	tcp udp	auris	auris
2773	tcp udp	rbakcup1	RBackup Remote Backup
2774	tcp udp	rbakcup2	RBackup Remote Backup
2775	tcp udp	smpp	SMPP
2776	tcp udp	ridgeway1	Ridgeway Systems & Software
2777	tcp udp	ridgeway2	Ridgeway Systems & Software
2778	tcp udp	gwen-sonya	Gwen-Sonya
2779	tcp udp	lbc-sync	LBC Sync
2780	tcp udp	lbc-control	LBC Control
2781	tcp udp	whosells	whosells
2782	tcp udp	everydayrc	everydayrc
2783	tcp udp	aises	AISES
2784	tcp udp	www-dev	world wide web - development
2785	tcp udp	aic-np	aic-np
2786	tcp udp	aic-oncrpc	aic-oncrpc - Destiny MCD database
2787	tcp udp	piccolo	piccolo - Cornerstone Software
2788	tcp udp	fryeserv	NetWare Loadable Module - Seagate Software
2789	tcp udp	media-agent	Media Agent
2790	tcp udp	plgproxy	PLG Proxy
2791	tcp udp	mtport-regist	MT Port Registrator
2792	tcp udp	f5-globalsite	f5-globalsite
2793	tcp udp	initlsmsad	initlsmsad
2794	tcp udp	urp	Uniform Resource Platform
2795	tcp udp	livestats	LiveStats
2796	tcp udp	ac-tech	ac-tech
2797	tcp udp	esp-encap	esp-encap
2798	tcp udp	tmesis-upshot	TMESIS-UPShot
2799	tcp udp	icon-discover	ICON Discover
2800	tcp udp	acc-raid	ACC RAID
2801	tcp udp	igcp	IGCP
2802	tcp	veritas-tcp1	Veritas TCP1
2802	udp	veritas-udp1	Veritas UDP1
2803	tcp udp	btprjctrl	btprjctrl
2804	tcp udp	dvr-esm	March Networks Digital Video Recorders and Enterprise Service Manager products
2805	tcp udp	wta-wsp-s	WTA WSP-S
2806	tcp udp	cspuni	cspuni
2807	tcp udp	cspmulti	cspmulti
2808	tcp udp	j-lan-p	J-LAN-P
2809	tcp udp	corbaloc	CORBA LOC
2810	tcp udp	netsteward	Active Net Steward
2811	tcp udp	gsiftp	GSI FTP
2812	tcp udp	atmtcp	atmtcp
2813	tcp udp	llm-pass	llm-pass
2814	tcp udp	llm-csv	llm-csv
2815	tcp udp	lbc-measure	LBC Measurement
2816	tcp udp	lbc-watchdog	LBC Watchdog
2817	tcp udp	nmsigport	NMSig Port
2818	tcp udp	rmlnk	rmlnk
2819	tcp udp	fc-faultnotify	FC Fault Notification
2820	tcp udp	univision	UniVision
2821	tcp udp	vrts-at-port	VERITAS Authentication Service
2822	tcp udp	ka0wuc	ka0wuc
2823	tcp udp	cqg-netlan	CQG Net/LAN
2824	tcp udp	cqg-netlan-1	CQG Net/LAN 1; udp: CQG Net/Lan 1
2825		(unassigned)	(unassigned) Possibly assigned
2826	tcp udp	slc-systemlog	slc systemlog
2827	tcp udp	slc-ctrlrloops	slc ctrlrloops
2828	tcp udp	itm-lm	ITM License Manager
2829	tcp udp	silkp1	silkp1
2830	tcp udp	silkp2	silkp2
2831	tcp udp	silkp3	silkp3
2832	tcp udp	silkp4	silkp4
2833	tcp udp	glishd	glishd
2834	tcp udp	evtp	EVTP
2835	tcp udp	evtp-data	EVTP-DATA
2836	tcp udp	catalyst	catalyst
2837	tcp udp	repliweb	Repliweb
2838	tcp udp	starbot	Starbot
2839	tcp udp	nmsigport	NMSigPort
2840	tcp udp	l3-exprt	l3-exprt
2841	tcp udp	l3-ranger	l3-ranger
2842	tcp udp	l3-hawk	l3-hawk
2843	tcp udp	pdnet	PDnet
2844	tcp udp	bpcp-poll	BPCP POLL
2845	tcp udp	bpcp-trap	BPCP TRAP
2846	tcp udp	aimpp-hello	AIMPP Hello
2847	tcp udp	aimpp-port-req	AIMPP Port Req
2848	tcp udp	amt-blc-port	AMT-BLC-PORT
2849	tcp udp	fxp	FXP
2850	tcp udp	metaconsole	MetaConsole
2851	tcp udp	webemshttp	webemshttp
2852	tcp udp	bears-01	bears-01
2853	tcp udp	ispipes	ISPipes
2854	tcp udp	infomover	InfoMover
2855	tcp	msrp	MSRP over TCP
2855	udp	(reserved)	Reserved
2856	tcp udp	cesdinv	cesdinv
2857	tcp udp	simctlp	SimCtIP
2858	tcp udp	ecnp	ECNP
2859	tcp udp	activememory	Active Memory
2860	tcp udp	dialpad-voice1	Dialpad Voice 1
2861	tcp udp	dialpad-voice2	Dialpad Voice 2
2862	tcp udp	ttg-protocol	TTG Protocol
2863	tcp udp	sonardata	Sonar Data
2864	tcp udp	astronova-main	main 5001 cmd
2865	tcp udp	pit-vpn	pit-vpn
2866	tcp udp	iwlistener	iwlistener
2867	tcp udp	esps-portal	esps-portal
2868	tcp udp	npep-messaging	Norman Proprietaqry Events Protocol
2869	tcp udp	icslap	ICSLAP
2870	tcp udp	daishi	daishi
2871	tcp udp	msi-selectplay	MSI Select Play
2872	tcp udp	radix	RADIX
2873	tcp udp	psrt	PubSub Realtime Telemetry Protocol
2874	tcp udp	dxmessagebase1	DX Message Base Transport Protocol
2875	tcp udp	dxmessagebase2	DX Message Base Transport Protocol
2876	tcp udp	sps-tunnel	SPS Tunnel
2877	tcp udp	bluelance	BLUELANCE
2878	tcp udp	aap	AAP
2879	tcp udp	ucentric-ds	ucentric-ds
2880	tcp udp	synapse	Synapse Transport
2881	tcp udp	ndsp	NDSP
2882	tcp udp	ndtp	NDTP
2883	tcp udp	ndnp	NDNP
2884	tcp udp	flashmsg	Flash Msg
2885	tcp udp	topflow	TopFlow
2886	tcp udp	responselogic	RESPONSELOGIC
2887	tcp udp	aironetddp	aironet
2888	tcp udp	spcsdlobby	SPCSDLOBBY
2889	tcp udp	rsom	RSOM
2890	tcp udp	cspclmulti	CSPCLMULTI
2891	tcp udp	cinegrfx-elmd	CINEGRFX-ELMD License Manager
2892	tcp udp	snifferdata	SNIFFERDATA
2893	tcp udp	vseconnector	VSECONNECTOR
2894	tcp udp	abacus-remote	ABACUS-REMOTE
2895	tcp udp	natuslink	NATUS LINK
2896	tcp udp	ecovisiong6-1	ECOVISIONG6-1
2897	tcp udp	citrix-rtmp	Citrix RTMP
2898	tcp udp	appliance-cfg	APPLIANCE-CFG
2899	tcp udp	powergemplus	POWERGEMPLUS
2900	tcp udp	quicksuite	QUICKSUITE
2901	tcp udp	allstorcns	ALLSTORCNS
2902	tcp udp	netaspi	NET ASPI
2903	tcp udp	suitcase	SUITCASE
2904	tcp udp sctp	m2ua	M2UA
2905	tcp sctp	m3ua	M3UA
2905	udp	(unassigned)	De-registered
2906	tcp udp	caller9	CALLER9
2907	tcp udp	webmethods-b2b	WEBMETHODS B2B
2908	tcp udp	mao	mao
2909	tcp udp	funk-dialout	Funk Dialout
2910	tcp udp	tdaccess	TDAccess
2911	tcp udp	blockade	Blockade
2912	tcp udp	epicon	Epicon
2913	tcp udp	boosterware	Booster Ware
2914	tcp udp	gamelobby	Game Lobby
2915	tcp udp	tksocket	TK Socket
2916	tcp udp	elvin-server	Elvin Server IANA assigned this well-formed service name as a replacement for "elvin_server".
2916	tcp udp	elvin_server	Elvin Server
2917	tcp udp	elvin-client	Elvin Client IANA assigned this well-formed service name as a replacement for "elvin_client".
2917	tcp udp	elvin_client	Elvin Client
2918	tcp udp	kastenchasepad	Kasten Chase Pad
2919	tcp udp	roboer	roboER
2920	tcp udp	roboeda	roboEDA
2921	tcp udp	cesdcdman	CESD Contents Delivery Management
2922	tcp udp	cesdcdtrn	CESD Contents Delivery Data Transfer
2923	tcp udp	wta-wsp-wtp-s	WTA-WSP-WTP-S
2924	tcp udp	precise-vip	PRECISE-VIP
2925		(unassigned)	Unassigned (FRP-Released 12/7/00)
2926	tcp udp	mobile-file-dl	MOBILE-FILE-DL
2927	tcp udp	unimobilectrl	UNIMOBILECTRL
2928	tcp udp	redstone-cpss	REDSTONE-CPSS
2929	tcp udp	amx-webadmin	AMX-WEBADMIN
2930	tcp udp	amx-weblinx	AMX-WEBLINX
2931	tcp udp	circle-x	Circle-X
2932	tcp udp	incp	INCP
2933	tcp udp	4-tieropmgw	4-TIER OPM GW
2934	tcp udp	4-tieropmcli	4-TIER OPM CLI
2935	tcp udp	qtp	QTP
2936	tcp udp	otpatch	OTPatch
2937	tcp udp	pnaconsult-lm	PNACONSULT-LM
2938	tcp udp	sm-pas-1	SM-PAS-1
2939	tcp udp	sm-pas-2	SM-PAS-2
2940	tcp udp	sm-pas-3	SM-PAS-3
2941	tcp udp	sm-pas-4	SM-PAS-4
2942	tcp udp	sm-pas-5	SM-PAS-5
2943	tcp udp	ttnrepository	TTNRepository
2944	tcp udp sctp	megaco-h248	Megaco H-248; sctp: Megaco-H.248 text
2945	tcp udp sctp	h248-binary	H248 Binary; sctp: Megaco/H.248 binary
2946	tcp udp	fjsvmpor	FJSVmpor
2947	tcp udp	gpsd	GPS Daemon request/response protocol
2948	tcp udp	wap-push	WAP PUSH
2949	tcp udp	wap-pushsecure	WAP PUSH SECURE
2950	tcp udp	esip	ESIP
2951	tcp udp	ottp	OTTP
2952	tcp udp	mpfwsas	MPFWSAS
2953	tcp udp	ovalarmsrv	OVALARMSRV
2954	tcp udp	ovalarmsrv-cmd	OVALARMSRV-CMD
2955	tcp udp	csnotify	CSNOTIFY
2956	tcp udp	ovrimosdbman	OVRIMOSDBMAN
2957	tcp udp	jmact5	JAMCT5
2958	tcp udp	jmact6	JAMCT6
2959	tcp udp	rmopagt	RMOPAGT
2960	tcp udp	dfoxserver	DFOXSERVER
2961	tcp udp	boldsoft-lm	BOLDSOFT-LM
2962	tcp udp	iph-policy-cli	IPH-POLICY-CLI
2963	tcp udp	iph-policy-adm	IPH-POLICY-ADM
2964	tcp udp	bullant-srap	BULLANT SRAP
2965	tcp udp	bullant-rap	BULLANT RAP
2966	tcp udp	idp-infotrieve	IDP-INFOTRIEVE
2967	tcp udp	ssc-agent	SSC-AGENT
2968	tcp udp	enpp	ENPP
2969	tcp udp	essp	ESSP
2970	tcp udp	index-net	INDEX-NET
2971	tcp udp	netclip	NetClip clipboard daemon
2972	tcp udp	pmsm-webrctl	PMSM Webrctl
2973	tcp udp	svnetworks	SV Networks
2974	tcp udp	signal	Signal
2975	tcp udp	fjmpcm	Fujitsu Configuration Management Service
2976	tcp udp	cns-srv-port	CNS Server Port
2977	tcp udp	ttc-etap-ns	TTCs Enterprise Test Access Protocol - NS
2978	tcp udp	ttc-etap-ds	TTCs Enterprise Test Access Protocol - DS
2979	tcp udp	h263-video	H.263 Video Streaming
2980	tcp udp	wimd	Instant Messaging Service
2981	tcp udp	mylxamport	MYLXAMPORT
2982	tcp udp	iwb-whiteboard	IWB-WHITEBOARD
2983	tcp udp	netplan	NETPLAN
2984	tcp udp	hpidsadmin	HPIDSADMIN
2985	tcp udp	hpidsagent	HPIDSAGENT
2986	tcp udp	stonefalls	STONEFALLS
2987	tcp udp	identify	identify
2988	tcp udp	hippad	HIPPA Reporting Protocol
2989	tcp udp	zarkov	ZARKOV Intelligent Agent Communication
2990	tcp udp	boscap	BOSCAP
2991	tcp udp	wkstn-mon	WKSTN-MON
2992	tcp udp	avenyo	Avenyo Server
2993	tcp udp	veritas-vis1	VERITAS VIS1
2994	tcp udp	veritas-vis2	VERITAS VIS2
2995	tcp udp	idrs	IDRS
2996	tcp udp	vsixml	vsixml
2997	tcp udp	rebol	REBOL
2998	tcp udp	realsecure	Real Secure
2999	tcp udp	remoteware-un	RemoteWare Unassigned
3000	tcp udp	hbci	HBCI
3000	tcp udp	remoteware-cl	RemoteWare Client
3001	tcp	origo-native	OrigoDB Server Native Interface
3001	udp	(reserved)	Reserved	port 3001 previously "Removed on 2006-05-25"
3002	tcp udp	exlm-agent	EXLM Agent
3002	tcp udp	remoteware-srv	RemoteWare Server
3003	tcp udp	cgms	CGMS
3004	tcp udp	csoftragent	Csoft Agent
3005	tcp udp	geniuslm	Genius License Manager
3006	tcp udp	ii-admin	Instant Internet Admin
3007	tcp udp	lotusmtap	Lotus Mail Tracking Agent Protocol
3008	tcp udp	midnight-tech	Midnight Technologies
3009	tcp udp	pxc-ntfy	PXC-NTFY
3010	tcp	gw	Telerate Workstation
3010	udp	ping-pong	Telerate Workstation
3011	tcp udp	trusted-web	Trusted Web
3012	tcp udp	twsdss	Trusted Web Client
3013	tcp udp	gilatskysurfer	Gilat Sky Surfer
3014	tcp udp	broker-service	Broker Service IANA assigned this well-formed service name as a replacement for "broker_service".
3014	tcp udp	broker_service	Broker Service
3015	tcp udp	nati-dstp	NATI DSTP
3016	tcp udp	notify-srvr	Notify Server IANA assigned this well-formed service name as a replacement for "notify_srvr".
3016	tcp udp	notify_srvr	Notify Server
3017	tcp udp	event-listener	Event Listener IANA assigned this well-formed service name as a replacement for "event_listener".
3017	tcp udp	event_listener	Event Listener
3018	tcp udp	srvc-registry	Service Registry IANA assigned this well-formed service name as a replacement for "srvc_registry".
3018	tcp udp	srvc_registry	Service Registry
3019	tcp udp	resource-mgr	Resource Manager IANA assigned this well-formed service name as a replacement for "resource_mgr".
3019	tcp udp	resource_mgr	Resource Manager
3020	tcp udp	cifs	CIFS
3021	tcp udp	agriserver	AGRI Server
3022	tcp udp	csregagent	CSREGAGENT
3023	tcp udp	magicnotes	magicnotes
3024	tcp udp	nds-sso	NDS_SSO IANA assigned this well-formed service name as a replacement for "nds_sso".
3024	tcp udp	nds_sso	NDS_SSO
3025	tcp udp	arepa-raft	Arepa Raft
3026	tcp udp	agri-gateway	AGRI Gateway
3027	tcp udp	LiebDevMgmt-C	LiebDevMgmt_C IANA assigned this well-formed service name as a replacement for "LiebDevMgmt_C".
3027	tcp udp	LiebDevMgmt_C	LiebDevMgmt_C
3028	tcp udp	LiebDevMgmt-DM	LiebDevMgmt_DM IANA assigned this well-formed service name as a replacement for "LiebDevMgmt_DM".
3028	tcp udp	LiebDevMgmt_DM	LiebDevMgmt_DM
3029	tcp udp	LiebDevMgmt-A	LiebDevMgmt_A IANA assigned this well-formed service name as a replacement for "LiebDevMgmt_A".
3029	tcp udp	LiebDevMgmt_A	LiebDevMgmt_A
3030	tcp udp	arepa-cas	Arepa Cas
3031	tcp udp	eppc	Remote AppleEvents/PPC Toolbox
3032	tcp udp	redwood-chat	Redwood Chat
3033	tcp udp	pdb	PDB
3034	tcp udp	osmosis-aeea	Osmosis / Helix (R) AEEA Port
3035	tcp udp	fjsv-gssagt	FJSV gssagt
3036	tcp udp	hagel-dump	Hagel DUMP
3037	tcp udp	hp-san-mgmt	HP SAN Mgmt
3038	tcp udp	santak-ups	Santak UPS
3039	tcp udp	cogitate	Cogitate, Inc.
3040	tcp udp	tomato-springs	Tomato Springs
3041	tcp udp	di-traceware	di-traceware
3042	tcp udp	journee	journee
3043	tcp udp	brp	Broadcast Routing Protocol
3044	tcp udp	epp	EndPoint Protocol
3045	tcp udp	responsenet	ResponseNet
3046	tcp udp	di-ase	di-ase
3047	tcp udp	hlserver	Fast Security HL Server
3048	tcp udp	pctrader	Sierra Net PC Trader
3049	tcp udp	nsws	NSWS
3050	tcp udp	gds-db	gds_db IANA assigned this well-formed service name as a replacement for "gds_db".
3050	tcp udp	gds_db	gds_db
3051	tcp udp	galaxy-server	Galaxy Server
3052	tcp udp	apc-3052	APC 3052
3053	tcp udp	dsom-server	dsom-server
3054	tcp udp	amt-cnf-prot	AMT CNF PROT
3055	tcp udp	policyserver	Policy Server
3056	tcp udp	cdl-server	CDL Server
3057	tcp udp	goahead-fldup	GoAhead FldUp
3058	tcp udp	videobeans	videobeans
3059	tcp udp	qsoft	qsoft
3060	tcp udp	interserver	interserver	Known Unauthorized Use on port 3060
3061	tcp udp	cautcpd	cautcpd
3062	tcp udp	ncacn-ip-tcp	ncacn-ip-tcp
3063	tcp udp	ncadg-ip-udp	ncadg-ip-udp
3064	tcp udp	rprt	Remote Port Redirector
3065	tcp udp	slinterbase	slinterbase
3066	tcp udp	netattachsdmp	NETATTACHSDMP
3067	tcp udp	fjhpjp	FJHPJP
3068	tcp udp	ls3bcast	ls3 Broadcast
3069	tcp udp	ls3	ls3
3070	tcp udp	mgxswitch	MGXSWITCH
3071	tcp	xplat-replicate	Crossplatform replication protocol
3071	udp	(reserved)	Reserved
3072	tcp udp	csd-monitor	ContinuStor Monitor Port
3073	tcp udp	vcrp	Very simple chatroom prot
3074	tcp udp	xbox	Xbox game port
3075	tcp udp	orbix-locator	Orbix 2000 Locator
3076	tcp udp	orbix-config	Orbix 2000 Config
3077	tcp udp	orbix-loc-ssl	Orbix 2000 Locator SSL
3078	tcp udp	orbix-cfg-ssl	Orbix 2000 Locator SSL
3079	tcp udp	lv-frontpanel	LV Front Panel
3080	tcp udp	stm-pproc	stm_pproc IANA assigned this well-formed service name as a replacement for "stm_pproc".
3080	tcp udp	stm_pproc	stm_pproc
3081	tcp udp	tl1-lv	TL1-LV
3082	tcp udp	tl1-raw	TL1-RAW
3083	tcp udp	tl1-telnet	TL1-TELNET
3084	tcp udp	itm-mccs	ITM-MCCS
3085	tcp udp	pcihreq	PCIHReq
3086	tcp udp	jdl-dbkitchen	JDL-DBKitchen
3087	tcp udp	asoki-sma	Asoki SMA
3088	tcp udp	xdtp	eXtensible Data Transfer Protocol
3089	tcp udp	ptk-alink	ParaTek Agent Linking
3090	tcp udp	stss	Senforce Session Services
3091	tcp udp	1ci-smcs	1Ci Server Management
3092		(unassigned)	Unassigned
3093	tcp udp	rapidmq-center	Jiiva RapidMQ Center
3094	tcp udp	rapidmq-reg	Jiiva RapidMQ Registry
3095	tcp udp	panasas	Panasas rendezvous port
3096	tcp udp	ndl-aps	Active Print Server Port
3097	tcp udp	(reserved)	Reserved
3097	sctp	itu-bicc-stc	ITU-T Q.1902.1/Q.2150.3
3098	tcp udp	umm-port	Universal Message Manager
3099	tcp udp	chmd	CHIPSY Machine Daemon
3100	tcp udp	opcon-xps	OpCon/xps
3101	tcp udp	hp-pxpib	HP PolicyXpert PIB Server
3102	tcp udp	slslavemon	SoftlinK Slave Mon Port
3103	tcp udp	autocuesmi	Autocue SMI Protocol
3104	tcp	autocuelog	Autocue Logger Protocol
3104	udp	autocuetime	Autocue Time Service
3105	tcp udp	cardbox	Cardbox
3106	tcp udp	cardbox-http	Cardbox HTTP
3107	tcp udp	business	Business protocol
3108	tcp udp	geolocate	Geolocate protocol
3109	tcp udp	personnel	Personnel protocol
3110	tcp udp	sim-control	simulator control port
3111	tcp udp	wsynch	Web Synchronous Services
3112	tcp udp	ksysguard	KDE System Guard
3113	tcp udp	cs-auth-svr	CS-Authenticate Svr Port
3114	tcp udp	ccmad	CCM AutoDiscover
3115	tcp udp	mctet-master	MCTET Master
3116	tcp udp	mctet-gateway	MCTET Gateway
3117	tcp udp	mctet-jserv	MCTET Jserv
3118	tcp udp	pkagent	PKAgent
3119	tcp udp	d2000kernel	D2000 Kernel Port
3120	tcp udp	d2000webserver	D2000 Webserver Port
3121	tcp	pcmk-remote	The pacemaker remote (pcmk-remote) service extends high availability functionality outside of the Linux cluster into remote nodes.
3121	udp	(reserved)	Reserved	port 3121 previously noted "Removed on 2003-09-17"
3122	tcp udp	vtr-emulator	MTI VTR Emulator port
3123	tcp udp	edix	EDI Translation Protocol
3124	tcp udp	beacon-port	Beacon Port
3125	tcp udp	a13-an	A13-AN Interface
3126		(unassigned)	Unassigned
3127	tcp udp	ctx-bridge	CTX Bridge Port
3128	tcp udp	ndl-aas	Active API Server Port
3129	tcp udp	netport-id	NetPort Discovery Port
3130	tcp udp	icpv2	ICPv2
3131	tcp udp	netbookmark	Net Book Mark	Known Unauthorized Use on port 3131
3132	tcp udp	ms-rule-engine	Microsoft Business Rule Engine Update Service
3133	tcp udp	prism-deploy	Prism Deploy User Port
3134	tcp udp	ecp	Extensible Code Protocol
3135	tcp udp	peerbook-port	PeerBook Port
3136	tcp udp	grubd	Grub Server Port
3137	tcp udp	rtnt-1	rtnt-1 data packets
3138	tcp udp	rtnt-2	rtnt-2 data packets
3139	tcp udp	incognitorv	Incognito Rendez-Vous
3140	tcp udp	ariliamulti	Arilia Multiplexor
3141	tcp udp	vmodem	VMODEM
3142	tcp udp	rdc-wh-eos	RDC WH EOS
3143	tcp udp	seaview	Sea View
3144	tcp udp	tarantella	Tarantella
3145	tcp udp	csi-lfap	CSI-LFAP	Known UNAUTHORIZED USE: port 3145
3146	tcp udp	bears-02	bears-02
3147	tcp udp	rfio	RFIO
3148	tcp udp	nm-game-admin	NetMike Game Administrator
3149	tcp udp	nm-game-server	NetMike Game Server
3150	tcp udp	nm-asses-admin	NetMike Assessor Administrator
3151	tcp udp	nm-assessor	NetMike Assessor
3152	tcp udp	feitianrockey	FeiTian Port
3153	tcp udp	s8-client-port	S8Cargo Client Port
3154	tcp udp	ccmrmi	ON RMI Registry
3155	tcp udp	jpegmpeg	JpegMpeg Port
3156	tcp udp	indura	Indura Collector
3157	tcp udp	lsa-comm	LSA Communicator
3158	tcp udp	stvp	SmashTV Protocol
3159	tcp udp	navegaweb-port	NavegaWeb Tarification
3160	tcp udp	tip-app-server	TIP Application Server
3161	tcp udp	doc1lm	DOC1 License Manager
3162	tcp udp	sflm	SFLM
3163	tcp udp	res-sap	RES-SAP
3164	tcp udp	imprs	IMPRS
3165	tcp udp	newgenpay	Newgenpay Engine Service
3166	tcp udp	sossecollector	Quest Spotlight Out-Of-Process Collector
3167	tcp udp	nowcontact	Now Contact Public Server
3168	tcp udp	poweronnud	Now Up-to-Date Public Server
3169	tcp udp	serverview-as	SERVERVIEW-AS
3170	tcp udp	serverview-asn	SERVERVIEW-ASN
3171	tcp udp	serverview-gf	SERVERVIEW-GF
3172	tcp udp	serverview-rm	SERVERVIEW-RM
3173	tcp udp	serverview-icc	SERVERVIEW-ICC
3174	tcp udp	armi-server	ARMI Server
3175	tcp udp	t1-e1-over-ip	T1_E1_Over_IP
3176	tcp udp	ars-master	ARS Master
3177	tcp udp	phonex-port	Phonex Protocol
3178	tcp udp	radclientport	Radiance UltraEdge Port
3179	tcp udp	h2gf-w-2m	H2GF W.2m Handover prot.
3180	tcp udp	mc-brk-srv	Millicent Broker Server
3181	tcp udp	bmcpatrolagent	BMC Patrol Agent
3182	tcp udp	bmcpatrolrnvu	BMC Patrol Rendezvous
3183	tcp udp	cops-tls	COPS/TLS
3184	tcp udp	apogeex-port	ApogeeX Port
3185	tcp udp	smpppd	SuSE Meta PPPD
3186	tcp udp	iiw-port	IIW Monitor User Port
3187	tcp udp	odi-port	Open Design Listen Port
3188	tcp udp	brcm-comm-port	Broadcom Port
3189	tcp udp	pcle-infex	Pinnacle Sys InfEx Port
3190	tcp udp	csvr-proxy	ConServR Proxy
3191	tcp udp	csvr-sslproxy	ConServR SSL Proxy
3192	tcp udp	firemonrcc	FireMon Revision Control
3193	tcp udp	spandataport	SpanDataPort
3194	tcp udp	magbind	Rockstorm MAG protocol
3195	tcp udp	ncu-1	Network Control Unit
3196	tcp udp	ncu-2	Network Control Unit
3197	tcp udp	embrace-dp-s	Embrace Device Protocol Server
3198	tcp udp	embrace-dp-c	Embrace Device Protocol Client
3199	tcp udp	dmod-workspace	DMOD WorkSpace
3200	tcp udp	tick-port	Press-sense Tick Port
3201	tcp udp	cpq-tasksmart	CPQ-TaskSmart
3202	tcp udp	intraintra	IntraIntra
3203	tcp udp	netwatcher-mon	Network Watcher Monitor
3204	tcp udp	netwatcher-db	Network Watcher DB Access
3205	tcp udp	isns	iSNS Server Port
3206	tcp udp	ironmail	IronMail POP Proxy
3207	tcp udp	vx-auth-port	Veritas Authentication Port
3208	tcp udp	pfu-prcallback	PFU PR Callback
3209	tcp udp	netwkpathengine	HP OpenView Network Path Engine Server
3210	tcp udp	flamenco-proxy	Flamenco Networks Proxy
3211	tcp udp	avsecuremgmt	Avocent Secure Management
3212	tcp udp	surveyinst	Survey Instrument
3213	tcp udp	neon24x7	NEON 24X7 Mission Control
3214	tcp udp	jmq-daemon-1	JMQ Daemon Port 1
3215	tcp udp	jmq-daemon-2	JMQ Daemon Port 2
3216	tcp udp	ferrari-foam	Ferrari electronic FOAM
3217	tcp udp	unite	Unified IP & Telecom Environment
3218	tcp udp	smartpackets	EMC SmartPackets
3219	tcp udp	wms-messenger	WMS Messenger
3220	tcp udp	xnm-ssl	XML NM over SSL
3221	tcp udp	xnm-clear-text	XML NM over TCP
3222	tcp udp	glbp	Gateway Load Balancing Pr
3223	tcp udp	digivote	DIGIVOTE (R) Vote-Server
3224	tcp udp	aes-discovery	AES Discovery Port
3225	tcp udp	fcip-port	FCIP
3226	tcp udp	isi-irp	ISI Industry Software IRP
3227	tcp udp	dwnmshttp	DiamondWave NMS Server
3228	tcp udp	dwmsgserver	DiamondWave MSG Server
3229	tcp udp	global-cd-port	Global CD Port
3230	tcp udp	sftdst-port	Software Distributor Port
3231	tcp udp	vidigo	VidiGo communication (previous was: Delta Solutions Direct)
3232	tcp udp	mdtp	MDT port
3233	tcp udp	whisker	WhiskerControl main port
3234	tcp udp	alchemy	Alchemy Server
3235	tcp udp	mdap-port	MDAP port; udp: MDAP Port
3236	tcp udp	apparenet-ts	appareNet Test Server
3237	tcp udp	apparenet-tps	appareNet Test Packet Sequencer
3238	tcp udp	apparenet-as	appareNet Analysis Server
3239	tcp udp	apparenet-ui	appareNet User Interface
3240	tcp udp	triomotion	Trio Motion Control Port
3241	tcp udp	sysorb	SysOrb Monitoring Server
3242	tcp udp	sdp-id-port	Session Description ID
3243	tcp udp	timelot	Timelot Port
3244	tcp udp	onesaf	OneSAF
3245	tcp udp	vieo-fe	VIEO Fabric Executive
3246	tcp udp	dvt-system	DVT SYSTEM PORT
3247	tcp udp	dvt-data	DVT DATA LINK
3248	tcp udp	procos-lm	PROCOS LM
3249	tcp udp	ssp	State Sync Protocol
3250	tcp udp	hicp	HMS hicp port
3251	tcp udp	sysscanner	Sys Scanner
3252	tcp udp	dhe	DHE port
3253	tcp udp	pda-data	PDA Data
3254	tcp udp	pda-sys	PDA System
3255	tcp udp	semaphore	Semaphore Connection Port
3256	tcp udp	cpqrpm-agent	Compaq RPM Agent Port
3257	tcp udp	cpqrpm-server	Compaq RPM Server Port
3258	tcp udp	ivecon-port	Ivecon Server Port
3259	tcp udp	epncdp2	Epson Network Common Devi
3260	tcp udp	iscsi-target	iSCSI port
3261	tcp udp	winshadow	winShadow
3262	tcp udp	necp	NECP
3263	tcp udp	ecolor-imager	E-Color Enterprise Imager
3264	tcp udp	ccmail	cc:mail/lotus
3265	tcp udp	altav-tunnel	Altav Tunnel
3266	tcp udp	ns-cfg-server	NS CFG Server
3267	tcp udp	ibm-dial-out	IBM Dial Out
3268	tcp udp	msft-gc	Microsoft Global Catalog
3269	tcp udp	msft-gc-ssl	Microsoft Global Catalog with LDAP/SSL
3270	tcp udp	verismart	Verismart
3271	tcp udp	csoft-prev	CSoft Prev Port
3272	tcp udp	user-manager	Fujitsu User Manager
3273	tcp udp	sxmp	Simple Extensible Multiplexed Protocol
3274	tcp udp	ordinox-server	Ordinox Server
3275	tcp udp	samd	SAMD
3276	tcp udp	maxim-asics	Maxim ASICs
3277	tcp udp	awg-proxy	AWG Proxy
3278	tcp udp	lkcmserver	LKCM Server
3279	tcp udp	admind	admind
3280	tcp udp	vs-server	VS Server
3281	tcp udp	sysopt	SYSOPT
3282	tcp udp	datusorb	Datusorb
3283	tcp udp	net-assistant	Net Assistant
3284	tcp udp	4talk	4Talk
3285	tcp udp	plato	Plato
3286	tcp udp	e-net	E-Net
3287	tcp udp	directvdata	DIRECTVDATA
3288	tcp udp	cops	COPS
3289	tcp udp	enpc	ENPC
3290	tcp udp	caps-lm	CAPS LOGISTICS TOOLKIT - LM
3291	tcp udp	sah-lm	S A Holditch & Associates - LM
3292	tcp udp	cart-o-rama	Cart O Rama
3293	tcp udp	fg-fps	fg-fps
3294	tcp udp	fg-gip	fg-gip
3295	tcp udp	dyniplookup	Dynamic IP Lookup
3296	tcp udp	rib-slm	Rib License Manager
3297	tcp udp	cytel-lm	Cytel License Manager
3298	tcp udp	deskview	DeskView
3299	tcp udp	pdrncs	pdrncs
3300	tcp	ceph	Ceph monitor	Known Unauthorized Use on port 3300
3300	udp	(reserved)	Reserved
3301	tcp udp	tarantool	Tarantool in-memory computing platform	Known Unauthorized Use on port 3301
3302	tcp udp	mcs-fastmail	MCS Fastmail
3303	tcp udp	opsession-clnt	OP Session Client
3304	tcp udp	opsession-srvr	OP Session Server
3305	tcp udp	odette-ftp	ODETTE-FTP
3306	tcp udp	mysql	MySQL
3307	tcp udp	opsession-prxy	OP Session Proxy
3308	tcp udp	tns-server	TNS Server
3309	tcp udp	tns-adv	TNS ADV
3310	tcp udp	dyna-access	Dyna Access
3311	tcp udp	mcns-tel-ret	MCNS Tel Ret
3312	tcp udp	appman-server	Application Management Server
3313	tcp udp	uorb	Unify Object Broker
3314	tcp udp	uohost	Unify Object Host
3315	tcp udp	cdid	CDID
3316	tcp udp	aicc-cmi	AICC/CMI
3317	tcp udp	vsaiport	VSAI PORT
3318	tcp udp	ssrip	Swith to Swith Routing Information Protocol
3319	tcp udp	sdt-lmd	SDT License Manager
3320	tcp udp	officelink2000	Office Link 2000
3321	tcp udp	vnsstr	VNSSTR
3322-3325		active-net	Active Networks
3326	tcp udp	sftu	SFTU
3327	tcp udp	bbars	BBARS
3328	tcp udp	egptlm	Eaglepoint License Manager
3329	tcp udp	hp-device-disc	HP Device Disc
3330	tcp udp	mcs-calypsoicf	MCS Calypso ICF
3331	tcp udp	mcs-messaging	MCS Messaging
3332	tcp udp	mcs-mailsvr	MCS Mail Server
3333	tcp udp	dec-notes	DEC Notes
3334	tcp udp	directv-web	Direct TV Webcasting
3335	tcp udp	directv-soft	Direct TV Software Updates
3336	tcp udp	directv-tick	Direct TV Tickers
3337	tcp udp	directv-catlg	Direct TV Data Catalog
3338	tcp udp	anet-b	OMF data b
3339	tcp udp	anet-l	OMF data l
3340	tcp udp	anet-m	OMF data m
3341	tcp udp	anet-h	OMF data h
3342	tcp udp	webtie	WebTIE
3343	tcp udp	ms-cluster-net	MS Cluster Net
3344	tcp udp	bnt-manager	BNT Manager
3345	tcp udp	influence	Influence
3346	tcp udp	trnsprntproxy	Trnsprnt Proxy
3347	tcp udp	phoenix-rpc	Phoenix RPC
3348	tcp udp	pangolin-laser	Pangolin Laser
3349	tcp udp	chevinservices	Chevin Services
3350	tcp udp	findviatv	FINDVIATV
3351	tcp udp	btrieve	Btrieve port
3352	tcp udp	ssql	Scalable SQL
3353	tcp udp	fatpipe	FATPIPE
3354	tcp udp	suitjd	SUITJD
3355	tcp udp	ordinox-dbase	Ordinox Dbase
3356	tcp udp	upnotifyps	UPNOTIFYPS
3357	tcp udp	adtech-test	Adtech Test IP
3358	tcp udp	mpsysrmsvr	Mp Sys Rmsvr
3359	tcp udp	wg-netforce	WG NetForce
3360	tcp udp	kv-server	KV Server
3361	tcp udp	kv-agent	KV Agent
3362	tcp udp	dj-ilm	DJ ILM
3363	tcp udp	nati-vi-server	NATI Vi Server
3364	tcp udp	creativeserver	Creative Server
3365	tcp udp	contentserver	Content Server
3366	tcp udp	creativepartnr	Creative Partner
3367-3371		satvid-datalnk	Satellite Video Data Link
3372	tcp udp	tip2	TIP 2
3373	tcp udp	lavenir-lm	Lavenir License Manager
3374	tcp udp	cluster-disc	Cluster Disc
3375	tcp udp	vsnm-agent	VSNM Agent
3376	tcp udp	cdbroker	CD Broker
3377	tcp udp	cogsys-lm	Cogsys Network License Manager
3378	tcp udp	wsicopy	WSICOPY
3379	tcp udp	socorfs	SOCORFS
3380	tcp udp	sns-channels	SNS Channels
3381	tcp udp	geneous	Geneous
3382	tcp udp	fujitsu-neat	Fujitsu Network Enhanced Antitheft function
3383	tcp udp	esp-lm	Enterprise Software Products License Manager
3384	tcp udp	hp-clic	Cluster Management Services; udp: Hardware Management
3385	tcp udp	qnxnetman	qnxnetman
3386	tcp	gprs-data	GPRS Data
3386	udp	gprs-sig	GPRS SIG
3387	tcp udp	backroomnet	Back Room Net
3388	tcp udp	cbserver	CB Server
3389	tcp udp	ms-wbt-server	MS WBT Server
3390	tcp udp	dsc	Distributed Service Coordinator
3391	tcp udp	savant	SAVANT
3392	tcp udp	efi-lm	EFI License Management
3393	tcp udp	d2k-tapestry1	D2K Tapestry Client to Server
3394	tcp udp	d2k-tapestry2	D2K Tapestry Server to Server
3395	tcp udp	dyna-lm	Dyna License Manager (Elam)
3396	tcp udp	printer-agent	Printer Agent IANA assigned this well-formed service name as a replacement for "printer_agent".
3396	tcp udp	printer_agent	Printer Agent
3397	tcp udp	cloanto-lm	Cloanto License Manager
3398	tcp udp	mercantile	Mercantile
3399	tcp udp	csms	CSMS
3400	tcp udp	csms2	CSMS2
3401	tcp udp	filecast	filecast
3402	tcp udp	fxaengine-net	FXa Engine Network Port
3403		(unassigned)	De-registered
3404		(unassigned)	Removed
3405	tcp udp	nokia-ann-ch1	Nokia Announcement ch 1
3406	tcp udp	nokia-ann-ch2	Nokia Announcement ch 2
3407	tcp udp	ldap-admin	LDAP admin server port
3408	tcp udp	BESApi	BES Api Port
3409	tcp udp	networklens	NetworkLens Event Port
3410	tcp udp	networklenss	NetworkLens SSL Event
3411	tcp udp	biolink-auth	BioLink Authenteon server
3412	tcp udp	xmlblaster	xmlBlaster
3413	tcp udp	svnet	SpecView Networking
3414	tcp udp	wip-port	BroadCloud WIP Port
3415	tcp udp	bcinameservice	BCI Name Service
3416	tcp udp	commandport	AirMobile IS Command Port
3417	tcp udp	csvr	ConServR file translation
3418	tcp udp	rnmap	Remote nmap
3419	tcp udp	softaudit	Isogon SoftAudit; udp: ISogon SoftAudit
3420	tcp udp	ifcp-port	iFCP User Port
3421	tcp udp	bmap	Bull Apprise portmapper
3422	tcp udp	rusb-sys-port	Remote USB System Port
3423	tcp udp	xtrm	xTrade Reliable Messaging
3424	tcp udp	xtrms	xTrade over TLS/SSL
3425	tcp udp	agps-port	AGPS Access Port
3426	tcp udp	arkivio	Arkivio Storage Protocol
3427	tcp udp	websphere-snmp	WebSphere SNMP
3428	tcp udp	twcss	2Wire CSS
3429	tcp udp	gcsp	GCSP user port
3430	tcp udp	ssdispatch	Scott Studios Dispatch
3431	tcp udp	ndl-als	Active License Server Port
3432	tcp udp	osdcp	Secure Device Protocol
3433	tcp udp	opnet-smp	OPNET Service Management Platform
3434	tcp udp	opencm	OpenCM Server
3435	tcp udp	pacom	Pacom Security User Port
3436	tcp udp	gc-config	GuardControl Exchange Protocol
3437	tcp udp	autocueds	Autocue Directory Service
3438	tcp udp	spiral-admin	Spiralcraft Admin
3439	tcp udp	hri-port	HRI Interface Port
3440	tcp udp	ans-console	Net Steward Mgmt Console
3441	tcp udp	connect-client	OC Connect Client
3442	tcp udp	connect-server	OC Connect Server
3443	tcp udp	ov-nnm-websrv	OpenView Network Node Manager WEB Server
3444	tcp udp	denali-server	Denali Server
3445	tcp udp	monp	Media Object Network Protocol
3446	tcp udp	3comfaxrpc	3Com FAX RPC port
3447	tcp udp	directnet	DirectNet IM System
3448	tcp udp	dnc-port	Discovery and Net Config
3449	tcp udp	hotu-chat	HotU Chat
3450	tcp udp	castorproxy	CAStorProxy
3451	tcp udp	asam	ASAM Services
3452	tcp udp	sabp-signal	SABP-Signalling Protocol
3453	tcp udp	pscupd	PSC Update
3454	tcp udp	mira	Apple Remote Access Protocol
3455	tcp udp	prsvp	RSVP Port
3456	tcp udp	vat	VAT default data
3457	tcp udp	vat-control	VAT default control
3458	tcp udp	d3winosfi	D3WinOSFI
3459	tcp udp	integral	TIP Integral
3460	tcp udp	edm-manager	EDM Manger
3461	tcp udp	edm-stager	EDM Stager
3462	tcp udp	edm-std-notify	EDM STD Notify
3463	tcp udp	edm-adm-notify	EDM ADM Notify
3464	tcp udp	edm-mgr-sync	EDM MGR Sync
3465	tcp udp	edm-mgr-cntrl	EDM MGR Cntrl
3466	tcp udp	workflow	WORKFLOW
3467	tcp udp	rcst	RCST
3468	tcp udp	ttcmremotectrl	TTCM Remote Controll
3469	tcp udp	pluribus	Pluribus
3470	tcp udp	jt400	jt400
3471	tcp udp	jt400-ssl	jt400-ssl
3472	tcp udp	jaugsremotec-1	JAUGS N-G Remotec 1
3473	tcp udp	jaugsremotec-2	JAUGS N-G Remotec 2
3474	tcp udp	ttntspauto	TSP Automation
3475	tcp udp	genisar-port	Genisar Comm Port
3476	tcp udp	nppmp	NVIDIA Mgmt Protocol
3477	tcp udp	ecomm	eComm link port
3478	tcp udp	stun	Session Traversal Utilities for NAT (STUN) port
3478	tcp udp	turn	TURN over TCP; udp: TURN over UDP
3478	tcp udp	stun-behavior	STUN Behavior Discovery over TCP; udp: STUN Behavior Discovery over UDP
3479	tcp udp	twrpc	2Wire RPC
3480	tcp udp	plethora	Secure Virtual Workspace
3481	tcp udp	cleanerliverc	CleanerLive remote ctrl
3482	tcp udp	vulture	Vulture Monitoring System
3483	tcp udp	slim-devices	Slim Devices Protocol
3484	tcp udp	gbs-stp	GBS SnapTalk Protocol
3485	tcp udp	celatalk	CelaTalk
3486	tcp udp	ifsf-hb-port	IFSF Heartbeat Port
3487	tcp	ltctcp	LISA TCP Transfer Channel
3487	udp	ltcudp	LISA UDP Transfer Channel
3488	tcp udp	fs-rh-srv	FS Remote Host Server
3489	tcp udp	dtp-dia	DTP/DIA
3490	tcp udp	colubris	Colubris Management Port
3491	tcp udp	swr-port	SWR Port
3492	tcp udp	tvdumtray-port	TVDUM Tray Port
3493	tcp udp	nut	Network UPS Tools
3494	tcp udp	ibm3494	IBM 3494
3495	tcp udp	seclayer-tcp	securitylayer over tcp
3496	tcp udp	seclayer-tls	securitylayer over tls
3497	tcp udp	ipether232port	ipEther232Port
3498	tcp udp	dashpas-port	DASHPAS user port
3499	tcp udp	sccip-media	SccIP Media
3500	tcp udp	rtmp-port	RTMP Port
3501	tcp udp	isoft-p2p	iSoft-P2P
3502	tcp udp	avinstalldisc	Avocent Install Discovery
3503	tcp udp	lsp-ping	MPLS LSP-echo Port
3504	tcp udp	ironstorm	IronStorm game server
3505	tcp udp	ccmcomm	CCM communications port
3506	tcp udp	apc-3506	APC 3506
3507	tcp udp	nesh-broker	Nesh Broker Port
3508	tcp udp	interactionweb	Interaction Web
3509	tcp udp	vt-ssl	Virtual Token SSL Port
3510	tcp udp	xss-port	XSS Port
3511	tcp udp	webmail-2	WebMail/2
3512	tcp udp	aztec	Aztec Distribution Port
3513	tcp udp	arcpd	Adaptec Remote Protocol
3514	tcp udp	must-p2p	MUST Peer to Peer
3515	tcp udp	must-backplane	MUST Backplane
3516	tcp udp	smartcard-port	Smartcard Port
3517	tcp udp	802-11-iapp	IEEE 802.11 WLANs WG IAPP
3518	tcp udp	artifact-msg	Artifact Message Server
3519	tcp	nvmsgd	Netvion Messenger Port
3519	udp	galileo	Netvion Galileo Port
3520	tcp udp	galileolog	Netvion Galileo Log Port
3521	tcp udp	mc3ss	Telequip Labs MC3SS
3522	tcp udp	nssocketport	DO over NSSocketPort
3523	tcp udp	odeumservlink	Odeum Serverlink
3524	tcp udp	ecmport	ECM Server port
3525	tcp udp	eisport	EIS Server port
3526	tcp udp	starquiz-port	starQuiz Port
3527	tcp udp	beserver-msg-q	VERITAS Backup Exec Server
3528	tcp udp	jboss-iiop	JBoss IIOP
3529	tcp udp	jboss-iiop-ssl	JBoss IIOP/SSL
3530	tcp udp	gf	Grid Friendly
3531	tcp udp	joltid	Joltid
3532	tcp udp	raven-rmp	Raven Remote Management Control
3533	tcp udp	raven-rdp	Raven Remote Management Data
3534	tcp udp	urld-port	URL Daemon Port
3535	tcp udp	ms-la	MS-LA
3536	tcp udp	snac	SNAC
3537	tcp udp	ni-visa-remote	Remote NI-VISA port
3538	tcp udp	ibm-diradm	IBM Directory Server
3539	tcp udp	ibm-diradm-ssl	IBM Directory Server SSL
3540	tcp udp	pnrp-port	PNRP User Port
3541	tcp udp	voispeed-port	VoiSpeed Port
3542	tcp udp	hacl-monitor	HA cluster monitor
3543	tcp udp	qftest-lookup	qftest Lookup Port
3544	tcp udp	teredo	Teredo Port
3545	tcp udp	camac	CAMAC equipment
3546		(unassigned)	Unassigned
3547	tcp udp	symantec-sim	Symantec SIM
3548	tcp udp	interworld	Interworld
3549	tcp udp	tellumat-nms	Tellumat MDR NMS
3550	tcp udp	ssmpp	Secure SMPP
3551	tcp udp	apcupsd	Apcupsd Information Port
3552	tcp udp	taserver	TeamAgenda Server Port
3553	tcp udp	rbr-discovery	Red Box Recorder ADP
3554	tcp udp	questnotify	Quest Notification Server
3555	tcp udp	razor	Vipul's Razor
3556	tcp udp	sky-transport	Sky Transport Protocol
3557	tcp udp	personalos-001	PersonalOS Comm Port
3558	tcp udp	mcp-port	MCP user port
3559	tcp udp	cctv-port	CCTV control port
3560	tcp udp	iniserve-port	INIServe port
3561	tcp udp	bmc-onekey	BMC-OneKey
3562	tcp udp	sdbproxy	SDBProxy
3563	tcp udp	watcomdebug	Watcom Debug
3564	tcp udp	esimport	Electromed SIM port
3565	tcp sctp	m2pa	M2PA
3565	udp	(reserved)	Reserved
3566	tcp	quest-data-hub	Quest Data Hub
3566	udp	(reserved)	Reserved
3567	tcp udp	dof-eps	DOF Protocol Stack
3568	tcp udp	dof-tunnel-sec	DOF Secure Tunnel
3569	tcp udp	mbg-ctrl	Meinberg Control Service
3570	tcp udp	mccwebsvr-port	MCC Web Server Port
3571	tcp udp	megardsvr-port	MegaRAID Server Port
3572	tcp udp	megaregsvrport	Registration Server Port
3573	tcp udp	tag-ups-1	Advantage Group UPS Suite
3574	tcp	dmaf-server	DMAF Server
3574	udp	dmaf-caster	DMAF Caster
3575	tcp udp	ccm-port	Coalsere CCM Port
3576	tcp udp	cmc-port	Coalsere CMC Port
3577	tcp udp	config-port	Configuration Port
3578	tcp udp	data-port	Data Port
3579	tcp udp	ttat3lb	Tarantella Load Balancing
3580	tcp udp	nati-svrloc	NATI-ServiceLocator
3581	tcp udp	kfxaclicensing	Ascent Capture Licensing
3582	tcp udp	press	PEG PRESS Server
3583	tcp udp	canex-watch	CANEX Watch System
3584	tcp udp	u-dbap	U-DBase Access Protocol
3585	tcp udp	emprise-lls	Emprise License Server
3586	tcp udp	emprise-lsc	License Server Console
3587	tcp udp	p2pgroup	Peer to Peer Grouping
3588	tcp udp	sentinel	Sentinel Server
3589	tcp udp	isomair	isomair
3590	tcp udp	wv-csp-sms	WV CSP SMS Binding
3591	tcp udp	gtrack-server	LOCANIS G-TRACK Server
3592	tcp udp	gtrack-ne	LOCANIS G-TRACK NE Port
3593	tcp udp	bpmd	BP Model Debugger
3594	tcp udp	mediaspace	MediaSpace
3595	tcp udp	shareapp	ShareApp
3596	tcp udp	iw-mmogame	Illusion Wireless MMOG
3597	tcp udp	a14	A14 (AN-to-SC/MM)
3598	tcp udp	a15	A15 (AN-to-AN)
3599	tcp udp	quasar-server	Quasar Accounting Server
3600	tcp udp	trap-daemon	text relay-answer
3601	tcp udp	visinet-gui	Visinet Gui
3602	tcp udp	infiniswitchcl	InfiniSwitch Mgr Client
3603	tcp udp	int-rcv-cntrl	Integrated Rcvr Control
3604	tcp udp	bmc-jmx-port	BMC JMX Port
3605	tcp udp	comcam-io	ComCam IO Port
3606	tcp udp	splitlock	Splitlock Server
3607	tcp udp	precise-i3	Precise I3
3608	tcp udp	trendchip-dcp	Trendchip control protocol
3609	tcp udp	cpdi-pidas-cm	CPDI PIDAS Connection Mon
3610	tcp udp	echonet	ECHONET
3611	tcp udp	six-degrees	Six Degrees Port
3612	tcp udp	dataprotector	Micro Focus Data Protector
3613	tcp udp	alaris-disc	Alaris Device Discovery
3614	tcp udp	sigma-port	Satchwell Sigma
3615	tcp udp	start-network	Start Messaging Network
3616	tcp udp	cd3o-protocol	cd3o Control Protocol
3617	tcp udp	sharp-server	ATI SHARP Logic Engine
3618	tcp udp	aairnet-1	AAIR-Network 1
3619	tcp udp	aairnet-2	AAIR-Network 2
3620	tcp udp	ep-pcp	EPSON Projector Control Port
3621	tcp udp	ep-nsp	EPSON Network Screen Port
3622	tcp udp	ff-lr-port	FF LAN Redundancy Port
3623	tcp udp	haipe-discover	HAIPIS Dynamic Discovery
3624	tcp udp	dist-upgrade	Distributed Upgrade Port
3625	tcp udp	volley	Volley
3626	tcp udp	bvcdaemon-port	bvControl Daemon
3627	tcp udp	jamserverport	Jam Server Port
3628	tcp udp	ept-machine	EPT Machine Interface
3629	tcp udp	escvpnet	ESC/VP.net
3630	tcp udp	cs-remote-db	C&S Remote Database Port
3631	tcp udp	cs-services	C&S Web Services Port
3632	tcp udp	distcc	distributed compiler
3633	tcp udp	wacp	Wyrnix AIS port
3634	tcp udp	hlibmgr	hNTSP Library Manager
3635	tcp udp	sdo	Simple Distributed Objects
3636	tcp udp	servistaitsm	SerVistaITSM
3637	tcp udp	scservp	Customer Service Port
3638	tcp udp	ehp-backup	EHP Backup Protocol
3639	tcp udp	xap-ha	Extensible Automation
3640	tcp udp	netplay-port1	Netplay Port 1
3641	tcp udp	netplay-port2	Netplay Port 2
3642	tcp udp	juxml-port	Juxml Replication port
3643	tcp udp	audiojuggler	AudioJuggler
3644	tcp udp	ssowatch	ssowatch
3645	tcp udp	cyc	Cyc
3646	tcp udp	xss-srv-port	XSS Server Port
3647	tcp udp	splitlock-gw	Splitlock Gateway
3648	tcp udp	fjcp	Fujitsu Cooperation Port
3649	tcp udp	nmmp	Nishioka Miyuki Msg Protocol
3650	tcp udp	prismiq-plugin	PRISMIQ VOD plug-in
3651	tcp udp	xrpc-registry	XRPC Registry
3652	tcp udp	vxcrnbuport	VxCR NBU Default Port
3653	tcp udp	tsp	Tunnel Setup Protocol
3654	tcp udp	vaprtm	VAP RealTime Messenger
3655	tcp udp	abatemgr	ActiveBatch Exec Agent
3656	tcp udp	abatjss	ActiveBatch Job Scheduler
3657	tcp udp	immedianet-bcn	ImmediaNet Beacon
3658	tcp udp	ps-ams	PlayStation AMS (Secure)
3659	tcp udp	apple-sasl	Apple SASL
3660	tcp udp	can-nds-ssl	IBM Tivoli Directory Service using SSL
3661	tcp udp	can-ferret-ssl	IBM Tivoli Directory Service using SSL
3662	tcp udp	pserver	pserver
3663	tcp udp	dtp	DIRECWAY Tunnel Protocol
3664	tcp udp	ups-engine	UPS Engine Port
3665	tcp udp	ent-engine	Enterprise Engine Port
3666	tcp udp	eserver-pap	IBM eServer PAP; udp: IBM EServer PAP
3667	tcp udp	infoexch	IBM Information Exchange
3668	tcp udp	dell-rm-port	Dell Remote Management
3669	tcp udp	casanswmgmt	CA SAN Switch Management
3670	tcp udp	smile	SMILE TCP/UDP Interface
3671	tcp udp	efcp	e Field Control (EIBnet)
3672	tcp udp	lispworks-orb	LispWorks ORB
3673	tcp udp	mediavault-gui	Openview Media Vault GUI
3674	tcp udp	wininstall-ipc	WinINSTALL IPC Port
3675	tcp udp	calltrax	CallTrax Data Port
3676	tcp udp	va-pacbase	VisualAge Pacbase server
3677	tcp udp	roverlog	RoverLog IPC
3678	tcp udp	ipr-dglt	DataGuardianLT
3679	tcp udp	newton-dock	Newton Dock
3680	tcp udp	npds-tracker	NPDS Tracker
3681	tcp udp	bts-x73	BTS X73 Port
3682	tcp udp	cas-mapi	EMC SmartPackets-MAPI
3683	tcp udp	bmc-ea	BMC EDV/EA
3684	tcp udp	faxstfx-port	FAXstfX
3685	tcp udp	dsx-agent	DS Expert Agent
3686	tcp udp	tnmpv2	Trivial Network Management
3687	tcp udp	simple-push	simple-push
3688	tcp udp	simple-push-s	simple-push Secure
3689	tcp udp	daap	Digital Audio Access Protocol (iTunes)
3690	tcp udp	svn	Subversion
3691	tcp udp	magaya-network	Magaya Network Port
3692	tcp udp	intelsync	Brimstone IntelSync
3693	tcp	easl	Emergency Automatic Structure Lockdown System
3693	udp	(reserved)	Reserved	This port was previously removed on 2007-04-05.
3694		(unassigned)	Unassigned
3695	tcp udp	bmc-data-coll	BMC Data Collection
3696	tcp udp	telnetcpcd	Telnet Com Port Control
3697	tcp udp	nw-license	NavisWorks License System
3698	tcp udp	sagectlpanel	SAGECTLPANEL
3699	tcp udp	kpn-icw	Internet Call Waiting
3700	tcp udp	lrs-paging	LRS NetPage
3701	tcp udp	netcelera	NetCelera
3702	tcp udp	ws-discovery	Web Service Discovery
3703	tcp udp	adobeserver-3	Adobe Server 3
3704	tcp udp	adobeserver-4	Adobe Server 4
3705	tcp udp	adobeserver-5	Adobe Server 5
3706	tcp udp	rt-event	Real-Time Event Port
3707	tcp udp	rt-event-s	Real-Time Event Secure Port
3708	tcp udp	sun-as-iiops	Sun App Svr - Naming
3709	tcp udp	ca-idms	CA-IDMS Server
3710	tcp udp	portgate-auth	PortGate Authentication
3711	tcp udp	edb-server2	EBD Server 2
3712	tcp udp	sentinel-ent	Sentinel Enterprise
3713	tcp udp	tftps	TFTP over TLS
3714	tcp udp	delos-dms	DELOS Direct Messaging
3715	tcp udp	anoto-rendezv	Anoto Rendezvous Port
3716	tcp udp	wv-csp-sms-cir	WV CSP SMS CIR Channel
3717	tcp udp	wv-csp-udp-cir	WV CSP UDP/IP CIR Channel
3718	tcp udp	opus-services	OPUS Server Port
3719	tcp udp	itelserverport	iTel Server Port
3720	tcp udp	ufastro-instr	UF Astro. Instr. Services
3721	tcp udp	xsync	Xsync
3722	tcp udp	xserveraid	Xserve RAID
3723	tcp udp	sychrond	Sychron Service Daemon
3724	tcp udp	blizwow	World of Warcraft
3725	tcp udp	na-er-tip	Netia NA-ER Port
3726	tcp udp	array-manager	Xyratex Array Manager
3727	tcp udp	e-mdu	Ericsson Mobile Data Unit
3728	tcp udp	e-woa	Ericsson Web on Air
3729	tcp udp	fksp-audit	Fireking Audit Port
3730	tcp udp	client-ctrl	Client Control
3731	tcp udp	smap	Service Manager
3732	tcp udp	m-wnn	Mobile Wnn
3733	tcp udp	multip-msg	Multipuesto Msg Port
3734	tcp udp	synel-data	Synel Data Collection Port
3735	tcp udp	pwdis	Password Distribution
3736	tcp udp	rs-rmi	RealSpace RMI
3737	tcp	xpanel	XPanel Daemon
3737	udp	(reserved)	Reserved
3738	tcp udp	versatalk	versaTalk Server Port
3739	tcp udp	launchbird-lm	Launchbird LicenseManager
3740	tcp udp	heartbeat	Heartbeat Protocol
3741	tcp udp	wysdma	WysDM Agent
3742	tcp udp	cst-port	CST - Configuration & Service Tracker
3743	tcp udp	ipcs-command	IP Control Systems Ltd.
3744	tcp udp	sasg	SASG
3745	tcp udp	gw-call-port	GWRTC Call Port
3746	tcp udp	linktest	LXPRO.COM LinkTest
3747	tcp udp	linktest-s	LXPRO.COM LinkTest SSL
3748	tcp udp	webdata	webData
3749	tcp udp	cimtrak	CimTrak
3750	tcp udp	cbos-ip-port	CBOS/IP ncapsalation port
3751	tcp udp	gprs-cube	CommLinx GPRS Cube
3752	tcp udp	vipremoteagent	Vigil-IP RemoteAgent
3753	tcp udp	nattyserver	NattyServer Port
3754	tcp udp	timestenbroker	TimesTen Broker Port
3755	tcp udp	sas-remote-hlp	SAS Remote Help Server
3756	tcp udp	canon-capt	Canon CAPT Port
3757	tcp udp	grf-port	GRF Server Port
3758	tcp udp	apw-registry	apw RMI registry
3759	tcp udp	exapt-lmgr	Exapt License Manager
3760	tcp udp	adtempusclient	adTempus Client; udp: adTEmpus Client
3761	tcp udp	gsakmp	gsakmp port
3762	tcp udp	gbs-smp	GBS SnapMail Protocol
3763	tcp udp	xo-wave	XO Wave Control Port
3764	tcp udp	mni-prot-rout	MNI Protected Routing
3765	tcp udp	rtraceroute	Remote Traceroute
3766	tcp	sitewatch-s	SSL e-watch sitewatch server
3766	udp	(reserved)	Reserved	this port was previously updated on 2009-06-19
3767	tcp udp	listmgr-port	ListMGR Port
3768	tcp udp	rblcheckd	rblcheckd server daemon
3769	tcp udp	haipe-otnk	HAIPE Network Keying
3770	tcp udp	cindycollab	Cinderella Collaboration
3771	tcp udp	paging-port	RTP Paging Port
3772	tcp udp	ctp	Chantry Tunnel Protocol
3773	tcp udp	ctdhercules	ctdhercules
3774	tcp udp	zicom	ZICOM
3775	tcp udp	ispmmgr	ISPM Manager Port
3776	tcp udp	dvcprov-port	Device Provisioning Port
3777	tcp udp	jibe-eb	Jibe EdgeBurst
3778	tcp udp	c-h-it-port	Cutler-Hammer IT Port
3779	tcp udp	cognima	Cognima Replication
3780	tcp udp	nnp	Nuzzler Network Protocol
3781	tcp udp	abcvoice-port	ABCvoice server port
3782	tcp udp	iso-tp0s	Secure ISO TP0 port
3783	tcp udp	bim-pem	Impact Mgr./PEM Gateway
3784	tcp udp	bfd-control	BFD Control Protocol
3785	tcp udp	bfd-echo	BFD Echo Protocol
3786	tcp udp	upstriggervsw	VSW Upstrigger port
3787	tcp udp	fintrx	Fintrx
3788	tcp udp	isrp-port	SPACEWAY Routing port
3789	tcp udp	remotedeploy	RemoteDeploy Administration Port [July 2003]
3790	tcp udp	quickbooksrds	QuickBooks RDS
3791	tcp udp	tvnetworkvideo	TV NetworkVideo Data port
3792	tcp udp	sitewatch	e-Watch Corporation SiteWatch
3793	tcp udp	dcsoftware	DataCore Software
3794	tcp udp	jaus	JAUS Robots
3795	tcp udp	myblast	myBLAST Mekentosj port
3796	tcp udp	spw-dialer	Spaceway Dialer
3797	tcp udp	idps	idps
3798	tcp udp	minilock	Minilock
3799	tcp udp	radius-dynauth	RADIUS Dynamic Authorization
3800	tcp udp	pwgpsi	Print Services Interface
3801	tcp udp	ibm-mgr	ibm manager service
3802	tcp udp	vhd	VHD
3803	tcp udp	soniqsync	SoniqSync
3804	tcp udp	iqnet-port	Harman IQNet Port
3805	tcp udp	tcpdataserver	ThorGuard Server Port
3806	tcp udp	wsmlb	Remote System Manager
3807	tcp udp	spugna	SpuGNA Communication Port
3808	tcp udp	sun-as-iiops-ca	Sun App Svr-IIOPClntAuth
3809	tcp udp	apocd	Java Desktop System Configuration Agent
3810	tcp udp	wlanauth	WLAN AS server
3811	tcp udp	amp	AMP
3812	tcp udp	neto-wol-server	netO WOL Server
3813	tcp udp	rap-ip	Rhapsody Interface Protocol
3814	tcp udp	neto-dcs	netO DCS
3815	tcp udp	lansurveyorxml	LANsurveyor XML
3816	tcp udp	sunlps-http	Sun Local Patch Server
3817	tcp udp	tapeware	Yosemite Tech Tapeware
3818	tcp udp	crinis-hb	Crinis Heartbeat
3819	tcp udp	epl-slp	EPL Sequ Layer Protocol
3820	tcp udp	scp	Siemens AuD SCP
3821	tcp udp	pmcp	ATSC PMCP Standard
3822	tcp udp	acp-discovery	Compute Pool Discovery
3823	tcp udp	acp-conduit	Compute Pool Conduit
3824	tcp udp	acp-policy	Compute Pool Policy
3825	tcp udp	ffserver	Antera FlowFusion Process Simulation
3826	tcp udp	warmux	WarMUX game server
3827	tcp udp	netmpi	Netadmin Systems MPI service
3828	tcp udp	neteh	Netadmin Systems Event Handler
3829	tcp udp	neteh-ext	Netadmin Systems Event Handler External
3830	tcp udp	cernsysmgmtagt	Cerner System Management Agent
3831	tcp udp	dvapps	Docsvault Application Service
3832	tcp udp	xxnetserver	xxNETserver
3833	tcp udp	aipn-auth	AIPN LS Authentication
3834	tcp udp	spectardata	Spectar Data Stream Service
3835	tcp udp	spectardb	Spectar Database Rights Service
3836	tcp udp	markem-dcp	MARKEM NEXTGEN DCP
3837	tcp udp	mkm-discovery	MARKEM Auto-Discovery
3838	tcp udp	sos	Scito Object Server
3839	tcp udp	amx-rms	AMX Resource Management Suite
3840	tcp udp	flirtmitmir	www.FlirtMitMir.de
3841	tcp	shiprush-db-svr	ShipRush Database Server
3841	udp	(reserved)	Reserved
3842	tcp udp	nhci	NHCI status port
3843	tcp udp	quest-agent	Quest Common Agent
3844	tcp udp	rnm	RNM
3845	tcp udp	v-one-spp	V-ONE Single Port Proxy
3846	tcp udp	an-pcp	Astare Network PCP
3847	tcp udp	msfw-control	MS Firewall Control
3848	tcp udp	item	IT Environmental Monitor
3849	tcp udp	spw-dnspreload	SPACEWAY DNS Preload
3850	tcp udp	qtms-bootstrap	QTMS Bootstrap Protocol
3851	tcp udp	spectraport	SpectraTalk Port
3852	tcp udp	sse-app-config	SSE App Configuration
3853	tcp udp	sscan	SONY scanning protocol
3854	tcp udp	stryker-com	Stryker Comm Port
3855	tcp udp	opentrac	OpenTRAC
3856	tcp udp	informer	INFORMER
3857	tcp udp	trap-port	Trap Port
3858	tcp udp	trap-port-mom	Trap Port MOM
3859	tcp udp	nav-port	Navini Port
3860	tcp udp	sasp	Server/Application State Protocol (SASP)
3861	tcp udp	winshadow-hd	winShadow Host Discovery
3862	tcp udp	giga-pocket	GIGA-POCKET
3863	tcp	asap-tcp	asap tcp port
3863	udp	asap-udp	asap udp port
3863	sctp	asap-sctp	asap sctp
3864	tcp	asap-tcp-tls	asap/tls tcp port
3864	udp	(reserved)	Reserved	This entry has been removed on 2006-06-23.
3864	sctp	asap-sctp-tls	asap-sctp/tls
3865	tcp udp	xpl	xpl automation protocol
3866	tcp udp	dzdaemon	Sun SDViz DZDAEMON Port
3867	tcp udp	dzoglserver	Sun SDViz DZOGLSERVER Port
3868	tcp sctp	diameter	DIAMETER
3868	udp	(reserved)	Reserved
3869	tcp udp	ovsam-mgmt	hp OVSAM MgmtServer Disco
3870	tcp udp	ovsam-d-agent	hp OVSAM HostAgent Disco
3871	tcp udp	avocent-adsap	Avocent DS Authorization
3872	tcp udp	oem-agent	OEM Agent
3873	tcp udp	fagordnc	fagordnc
3874	tcp udp	sixxsconfig	SixXS Configuration
3875	tcp udp	pnbscada	PNBSCADA
3876	tcp udp	dl-agent	DirectoryLockdown Agent IANA assigned this well-formed service name as a replacement for "dl_agent".
3876	tcp udp	dl_agent	DirectoryLockdown Agent
3877	tcp udp	xmpcr-interface	XMPCR Interface Port
3878	tcp udp	fotogcad	FotoG CAD interface
3879	tcp udp	appss-lm	appss license manager
3880	tcp udp	igrs	IGRS
3881	tcp udp	idac	Data Acquisition and Control
3882	tcp udp	msdts1	DTS Service Port
3883	tcp udp	vrpn	VR Peripheral Network
3884	tcp udp	softrack-meter	SofTrack Metering
3885	tcp udp	topflow-ssl	TopFlow SSL
3886	tcp udp	nei-management	NEI management port
3887	tcp udp	ciphire-data	Ciphire Data Transport
3888	tcp udp	ciphire-serv	Ciphire Services
3889	tcp udp	dandv-tester	D and V Tester Control Port
3890	tcp udp	ndsconnect	Niche Data Server Connect
3891	tcp udp	rtc-pm-port	Oracle RTC-PM port
3892	tcp udp	pcc-image-port	PCC-image-port
3893	tcp udp	cgi-starapi	CGI StarAPI Server
3894	tcp udp	syam-agent	SyAM Agent Port
3895	tcp udp	syam-smc	SyAm SMC Service Port
3896	tcp udp	sdo-tls	Simple Distributed Objects over TLS
3897	tcp udp	sdo-ssh	Simple Distributed Objects over SSH
3898	tcp udp	senip	IAS, Inc. SmartEye NET Internet Protocol
3899	tcp udp	itv-control	ITV Port
3900	tcp udp	udt-os	Unidata UDT OS IANA assigned this well-formed service name as a replacement for "udt_os".
3900	tcp udp	udt_os	Unidata UDT OS
3901	tcp udp	nimsh	NIM Service Handler
3902	tcp udp	nimaux	NIMsh Auxiliary Port
3903	tcp udp	charsetmgr	CharsetMGR
3904	tcp udp	omnilink-port	Arnet Omnilink Port
3905	tcp udp	mupdate	Mailbox Update (MUPDATE) protocol
3906	tcp udp	topovista-data	TopoVista elevation data
3907	tcp udp	imoguia-port	Imoguia Port
3908	tcp udp	hppronetman	HP Procurve NetManagement
3909	tcp udp	surfcontrolcpa	SurfControl CPA
3910	tcp udp	prnrequest	Printer Request Port
3911	tcp udp	prnstatus	Printer Status Port
3912	tcp udp	gbmt-stars	Global Maintech Stars
3913	tcp udp	listcrt-port	ListCREATOR Port
3914	tcp udp	listcrt-port-2	ListCREATOR Port 2
3915	tcp udp	agcat	Auto-Graphics Cataloging
3916	tcp udp	wysdmc	WysDM Controller
3917	tcp udp	aftmux	AFT multiplex port
3918	tcp udp	pktcablemmcops	PacketCableMultimediaCOPS
3919	tcp udp	hyperip	HyperIP
3920	tcp udp	exasoftport1	Exasoft IP Port
3921	tcp udp	herodotus-net	Herodotus Net
3922	tcp udp	sor-update	Soronti Update Port
3923	tcp udp	symb-sb-port	Symbian Service Broker
3924	tcp udp	mpl-gprs-port	MPL_GPRS_PORT; udp: MPL_GPRS_Port
3925	tcp udp	zmp	Zoran Media Port
3926	tcp udp	winport	WINPort
3927	tcp udp	natdataservice	ScsTsr
3928	tcp udp	netboot-pxe	PXE NetBoot Manager
3929	tcp udp	smauth-port	AMS Port
3930	tcp udp	syam-webserver	Syam Web Server Port
3931	tcp udp	msr-plugin-port	MSR Plugin Port
3932	tcp udp	dyn-site	Dynamic Site System
3933	tcp udp	plbserve-port	PL/B App Server User Port
3934	tcp udp	sunfm-port	PL/B File Manager Port
3935	tcp udp	sdp-portmapper	SDP Port Mapper Protocol
3936	tcp udp	mailprox	Mailprox
3937	tcp udp	dvbservdsc	DVB Service Discovery
3938	tcp udp	dbcontrol-agent	Oracle dbControl Agent po IANA assigned this well-formed service name as a replacement for "dbcontrol_agent".
3938	tcp udp	dbcontrol_agent	Oracle dbControl Agent po
3939	tcp udp	aamp	Anti-virus Application Management Port
3940	tcp udp	xecp-node	XeCP Node Service
3941	tcp udp	homeportal-web	Home Portal Web Server
3942	tcp udp	srdp	satellite distribution
3943	tcp udp	tig	TetraNode Ip Gateway
3944	tcp udp	sops	S-Ops Management
3945	tcp udp	emcads	EMCADS Server Port
3946	tcp udp	backupedge	BackupEDGE Server
3947	tcp udp	ccp	Connect and Control Protocol for Consumer, Commercial, and Industrial Electronic Devices
3948	tcp udp	apdap	Anton Paar Device Administration Protocol
3949	tcp udp	drip	Dynamic Routing Information Protocol
3950	tcp udp	namemunge	Name Munging
3951	tcp udp	pwgippfax	PWG IPP Facsimile
3952	tcp udp	i3-sessionmgr	I3 Session Manager
3953	tcp udp	xmlink-connect	Eydeas XMLink Connect
3954	tcp udp	adrep	AD Replication RPC
3955	tcp udp	p2pcommunity	p2pCommunity
3956	tcp udp	gvcp	GigE Vision Control
3957	tcp udp	mqe-broker	MQEnterprise Broker
3958	tcp udp	mqe-agent	MQEnterprise Agent
3959	tcp udp	treehopper	Tree Hopper Networking
3960	tcp udp	bess	Bess Peer Assessment
3961	tcp udp	proaxess	ProAxess Server
3962	tcp udp	sbi-agent	SBI Agent Protocol
3963	tcp udp	thrp	Teran Hybrid Routing Protocol
3964	tcp udp	sasggprs	SASG GPRS
3965	tcp udp	ati-ip-to-ncpe	Avanti IP to NCPE API
3966	tcp udp	bflckmgr	BuildForge Lock Manager
3967	tcp udp	ppsms	PPS Message Service
3968	tcp udp	ianywhere-dbns	iAnywhere DBNS
3969	tcp udp	landmarks	Landmark Messages
3970	tcp udp	lanrevagent	LANrev Agent
3971	tcp udp	lanrevserver	LANrev Server
3972	tcp udp	iconp	ict-control Protocol
3973	tcp udp	progistics	ConnectShip Progistics
3974	tcp udp	xk22	Remote Applicant Tracking Service
3975	tcp udp	airshot	Air Shot
3976	tcp udp	opswagent	Server Automation Agent
3977	tcp udp	opswmanager	Opsware Manager
3978	tcp udp	secure-cfg-svr	Secured Configuration Server
3979	tcp udp	smwan	Smith Micro Wide Area Network Service
3980	tcp	(reserved)	Reserved	Historic usage was acms. De-Assigned on 2020-12-29
3980	udp	(reserved)	Reserved
3981	tcp udp	starfish	Starfish System Admin
3982	tcp udp	eis	ESRI Image Server
3983	tcp udp	eisp	ESRI Image Service
3984	tcp udp	mapper-nodemgr	MAPPER network node manager
3985	tcp udp	mapper-mapethd	MAPPER TCP/IP server
3986	tcp udp	mapper-ws-ethd	MAPPER workstation server IANA assigned this well-formed service name as a replacement for "mapper-ws_ethd".
3986	tcp udp	mapper-ws_ethd	MAPPER workstation server
3987	tcp udp	centerline	Centerline
3988	tcp udp	dcs-config	DCS Configuration Port
3989	tcp udp	bv-queryengine	BindView-Query Engine
3990	tcp udp	bv-is	BindView-IS
3991	tcp udp	bv-smcsrv	BindView-SMCServer
3992	tcp udp	bv-ds	BindView-DirectoryServer
3993	tcp udp	bv-agent	BindView-Agent
3994		(unassigned)	Unassigned
3995	tcp udp	iss-mgmt-ssl	ISS Management Svcs SSL
3996	tcp udp	abcsoftware	abcsoftware-01
3997	tcp udp	agentsease-db	aes_db
3998	tcp udp	dnx	Distributed Nagios Executor Service
3999	tcp udp	nvcnet	Norman distributes scanning service
4000	tcp udp	terabase	Terabase
4001	tcp udp	newoak	NewOak
4002	tcp udp	pxc-spvr-ft	pxc-spvr-ft
4003	tcp udp	pxc-splr-ft	pxc-splr-ft
4004	tcp udp	pxc-roid	pxc-roid
4005	tcp udp	pxc-pin	pxc-pin
4006	tcp udp	pxc-spvr	pxc-spvr
4007	tcp udp	pxc-splr	pxc-splr
4008	tcp udp	netcheque	NetCheque accounting
4009	tcp udp	chimera-hwm	Chimera HWM
4010	tcp udp	samsung-unidex	Samsung Unidex
4011	tcp udp	altserviceboot	Alternate Service Boot
4012	tcp udp	pda-gate	PDA Gate
4013	tcp udp	acl-manager	ACL Manager
4014	tcp udp	taiclock	TAICLOCK
4015	tcp udp	talarian-mcast1	Talarian Mcast
4016	tcp udp	talarian-mcast2	Talarian Mcast
4017	tcp udp	talarian-mcast3	Talarian Mcast
4018	tcp udp	talarian-mcast4	Talarian Mcast
4019	tcp udp	talarian-mcast5	Talarian Mcast
4020	tcp udp	trap	TRAP Port
4021	tcp udp	nexus-portal	Nexus Portal
4022	tcp udp	dnox	DNOX
4023	tcp udp	esnm-zoning	ESNM Zoning Port
4024	tcp udp	tnp1-port	TNP1 User Port
4025	tcp udp	partimage	Partition Image Port
4026	tcp udp	as-debug	Graphical Debug Server
4027	tcp udp	bxp	bitxpress
4028	tcp udp	dtserver-port	DTServer Port
4029	tcp udp	ip-qsig	IP Q signaling protocol
4030	tcp udp	jdmn-port	Accell/JSP Daemon Port
4031	tcp udp	suucp	UUCP over SSL
4032	tcp udp	vrts-auth-port	VERITAS Authorization Service
4033	tcp udp	sanavigator	SANavigator Peer Port
4034	tcp udp	ubxd	Ubiquinox Daemon
4035	tcp udp	wap-push-http	WAP Push OTA-HTTP port
4036	tcp udp	wap-push-https	WAP Push OTA-HTTP secure
4037	tcp udp	ravehd	RaveHD network control
4038	tcp udp	fazzt-ptp	Fazzt Point-To-Point
4039	tcp udp	fazzt-admin	Fazzt Administration
4040	tcp udp	yo-main	Yo.net main service
4041	tcp udp	houston	Rocketeer-Houston
4042	tcp udp	ldxp	LDXP
4043	tcp udp	nirp	Neighbour Identity Resolution
4044	tcp udp	ltp	Location Tracking Protocol
4045	tcp udp	npp	Network Paging Protocol	Known UNAUTHORIZED USE: Port 4045
4046	tcp udp	acp-proto	Accounting Protocol
4047	tcp udp	ctp-state	Context Transfer Protocol
4048		(unassigned)	Unassigned
4049	tcp udp	wafs	Wide Area File Services
4050	tcp udp	cisco-wafs	Wide Area File Services
4051	tcp udp	cppdp	Cisco Peer to Peer Distribution Protocol
4052	tcp udp	interact	VoiceConnect Interact
4053	tcp udp	ccu-comm-1	CosmoCall Universe Communications Port 1
4054	tcp udp	ccu-comm-2	CosmoCall Universe Communications Port 2
4055	tcp udp	ccu-comm-3	CosmoCall Universe Communications Port 3
4056	tcp udp	lms	Location Message Service
4057	tcp udp	wfm	Servigistics WFM server
4058	tcp udp	kingfisher	Kingfisher protocol
4059	tcp udp	dlms-cosem	DLMS/COSEM
4060	tcp udp	dsmeter-iatc	DSMETER Inter-Agent Transfer Channel IANA assigned this well-formed service name as a replacement for "dsmeter_iatc".
4060	tcp udp	dsmeter_iatc	DSMETER Inter-Agent Transfer Channel
4061	tcp udp	ice-location	Ice Location Service (TCP)
4062	tcp udp	ice-slocation	Ice Location Service (SSL)
4063	tcp udp	ice-router	Ice Firewall Traversal Service (TCP)
4064	tcp udp	ice-srouter	Ice Firewall Traversal Service (SSL)
4065	tcp udp	avanti-cdp	Avanti Common Data IANA assigned this well-formed service name as a replacement for "avanti_cdp".
4065	tcp udp	avanti_cdp	Avanti Common Data
4066	tcp udp	pmas	Performance Measurement and Analysis
4067	tcp udp	idp	Information Distribution Protocol
4068	tcp udp	ipfltbcst	IP Fleet Broadcast
4069	tcp udp	minger	Minger Email Address Validation Service
4070	tcp udp	tripe	Trivial IP Encryption (TrIPE)
4071	tcp udp	aibkup	Automatically Incremental Backup
4072	tcp udp	zieto-sock	Zieto Socket Communications
4073	tcp udp	iRAPP	Interactive Remote Application Pairing Protocol
4074	tcp udp	cequint-cityid	Cequint City ID UI trigger
4075	tcp udp	perimlan	ISC Alarm Message Service
4076	tcp udp	seraph	Seraph DCS
4077	tcp	(reserved)	Reserved
4077	udp	ascomalarm	Ascom IP Alarming
4078	tcp	cssp	Coordinated Security Service Protocol
4078	udp	(reserved)	Reserved
4079	tcp udp	santools	SANtools Diagnostic Server
4080	tcp udp	lorica-in	Lorica inside facing
4081	tcp udp	lorica-in-sec	Lorica inside facing (SSL)
4082	tcp udp	lorica-out	Lorica outside facing
4083	tcp udp	lorica-out-sec	Lorica outside facing (SSL)
4084	tcp	(reserved)	Reserved
4084	udp	fortisphere-vm	Fortisphere VM Service
4085	tcp	ezmessagesrv	EZNews Newsroom Message Service
4085	udp	(reserved)	Reserved
4086	tcp	(reserved)	Reserved
4086	udp	ftsync	Firewall/NAT state table synchronization
4087	tcp	applusservice	APplus Service
4087	udp	(reserved)	Reserved
4088	tcp	npsp	Noah Printing Service Protocol
4088	udp	(reserved)	Reserved
4089	tcp udp	opencore	OpenCORE Remote Control Service
4090	tcp udp	omasgport	OMA BCAST Service Guide
4091	tcp udp	ewinstaller	EminentWare Installer
4092	tcp udp	ewdgs	EminentWare DGS
4093	tcp udp	pvxpluscs	Pvx Plus CS Host
4094	tcp udp	sysrqd	sysrq daemon
4095	tcp udp	xtgui	xtgui information service
4096	tcp udp	bre	BRE (Bridge Relay Element)
4097	tcp udp	patrolview	Patrol View
4098	tcp udp	drmsfsd	drmsfsd
4099	tcp udp	dpcp	DPCP
4100	tcp udp	igo-incognito	IGo Incognito Data Port
4101	tcp udp	brlp-0	Braille protocol
4102	tcp udp	brlp-1	Braille protocol
4103	tcp udp	brlp-2	Braille protocol
4104	tcp udp	brlp-3	Braille protocol
4105	tcp udp	shofar	Shofar
4106	tcp udp	synchronite	Synchronite
4107	tcp udp	j-ac	JDL Accounting LAN Service
4108	tcp udp	accel	ACCEL
4109	tcp udp	izm	Instantiated Zero-control Messaging
4110	tcp udp	g2tag	G2 RFID Tag Telemetry Data
4111	tcp udp	xgrid	Xgrid
4112	tcp udp	apple-vpns-rp	Apple VPN Server Reporting Protocol
4113	tcp udp	aipn-reg	AIPN LS Registration
4114	tcp udp	jomamqmonitor	JomaMQMonitor
4115	tcp udp	cds	CDS Transfer Agent
4116	tcp udp	smartcard-tls	smartcard-TLS
4117	tcp udp	hillrserv	Hillr Connection Manager
4118	tcp udp	netscript	Netadmin Systems NETscript service
4119	tcp udp	assuria-slm	Assuria Log Manager
4120	tcp	minirem	MiniRem Remote Telemetry and Control
4120	udp	(reserved)	Reserved
4121	tcp udp	e-builder	e-Builder Application Communication
4122	tcp udp	fprams	Fiber Patrol Alarm Service
4123	tcp udp	z-wave	Z-Wave Protocol
4124	tcp udp	tigv2	Rohill TetraNode Ip Gateway v2
4125	tcp udp	opsview-envoy	Opsview Envoy
4126	tcp udp	ddrepl	Data Domain Replication Service
4127	tcp udp	unikeypro	NetUniKeyServer
4128	tcp udp	nufw	NuFW decision delegation protocol
4129	tcp udp	nuauth	NuFW authentication protocol
4130	tcp udp	fronet	FRONET message protocol
4131	tcp udp	stars	Global Maintech Stars
4132	tcp udp	nuts-dem	NUTS Daemon IANA assigned this well-formed service name as a replacement for "nuts_dem".
4132	tcp udp	nuts_dem	NUTS Daemon
4133	tcp udp	nuts-bootp	NUTS Bootp Server IANA assigned this well-formed service name as a replacement for "nuts_bootp".
4133	tcp udp	nuts_bootp	NUTS Bootp Server
4134	tcp udp	nifty-hmi	NIFTY-Serve HMI protocol
4135	tcp udp	cl-db-attach	Classic Line Database Server Attach
4136	tcp udp	cl-db-request	Classic Line Database Server Request
4137	tcp udp	cl-db-remote	Classic Line Database Server Remote
4138	tcp udp	nettest	nettest
4139	tcp udp	thrtx	Imperfect Networks Server
4140	tcp udp	cedros-fds	Cedros Fraud Detection System IANA assigned this well-formed service name as a replacement for "cedros_fds".
4140	tcp udp	cedros_fds	Cedros Fraud Detection System
4141	tcp udp	oirtgsvc	Workflow Server
4142	tcp udp	oidocsvc	Document Server
4143	tcp udp	oidsr	Document Replication
4144		(unassigned)	Unassigned	Compuserve (unoffically) is using port 4144
4145	tcp udp	vvr-control	VVR Control
4146	tcp udp	tgcconnect	TGCConnect Beacon
4147	tcp udp	vrxpservman	Multum Service Manager
4148	tcp udp	hhb-handheld	HHB Handheld Client
4149	tcp udp	agslb	A10 GSLB Service
4150	tcp udp	PowerAlert-nsa	PowerAlert Network Shutdown Agent
4151	tcp udp	menandmice-noh	Men & Mice Remote Control IANA assigned this well-formed service name as a replacement for "menandmice_noh".
4151	tcp udp	menandmice_noh	Men & Mice Remote Control
4152	tcp udp	idig-mux	iDigTech Multiplex IANA assigned this well-formed service name as a replacement for "idig_mux".
4152	tcp udp	idig_mux	iDigTech Multiplex
4153	tcp udp	mbl-battd	MBL Remote Battery Monitoring
4154	tcp udp	atlinks	atlinks device discovery
4155	tcp udp	bzr	Bazaar version control system
4156	tcp udp	stat-results	STAT Results
4157	tcp udp	stat-scanner	STAT Scanner Control
4158	tcp udp	stat-cc	STAT Command Center
4159	tcp udp	nss	Network Security Service
4160	tcp udp	jini-discovery	Jini Discovery
4161	tcp udp	omscontact	OMS Contact
4162	tcp udp	omstopology	OMS Topology
4163	tcp udp	silverpeakpeer	Silver Peak Peer Protocol
4164	tcp udp	silverpeakcomm	Silver Peak Communication Protocol
4165	tcp udp	altcp	ArcLink over Ethernet
4166	tcp udp	joost	Joost Peer to Peer Protocol
4167	tcp udp	ddgn	DeskDirect Global Network
4168	tcp udp	pslicser	PrintSoft License Server
4169	tcp	iadt	Automation Drive Interface Transport
4169	udp	iadt-disc	Internet ADT Discovery Protocol
4170	tcp	d-cinema-csp	SMPTE Content Synchonization Protocol
4170	udp	(reserved)	Reserved
4171	tcp	ml-svnet	Maxlogic Supervisor Communication
4171	udp	(reserved)	Reserved
4172	tcp udp	pcoip	PC over IP
4173	tcp	(reserved)	Reserved
4173	udp	mma-discovery	MMA Device Discovery
4174	tcp	smcluster	StorMagic Cluster Services
4174	udp	sm-disc	StorMagic Discovery
4175	tcp	bccp	Brocade Cluster Communication Protocol
4175	udp	(reserved)	Reserved
4176	tcp	tl-ipcproxy	Translattice Cluster IPC Proxy
4176	udp	(reserved)	Reserved
4177	tcp udp	wello	Wello P2P pubsub service
4178	tcp udp	storman	StorMan
4179	tcp udp	MaxumSP	Maxum Services
4180	tcp udp	httpx	HTTPX
4181	tcp udp	macbak	MacBak
4182	tcp udp	pcptcpservice	Production Company Pro TCP Service
4183	tcp udp	cyborgnet	CyborgNet communications protocol
4184	tcp udp	universe-suite	UNIVERSE SUITE MESSAGE SERVICE IANA assigned this well-formed service name as a replacement for "universe_suite".
4184	tcp udp	universe_suite	UNIVERSE SUITE MESSAGE SERVICE
4185	tcp udp	wcpp	Woven Control Plane Protocol
4186	tcp	boxbackupstore	Box Backup Store Service
4186	udp	(reserved)	Reserved
4187	tcp	csc-proxy	Cascade Proxy IANA assigned this well-formed service name as a replacement for "csc_proxy".
4187	tcp	csc_proxy	Cascade Proxy
4187	udp	(reserved)	Reserved
4188	tcp udp	vatata	Vatata Peer to Peer Protocol
4189	tcp	pcep	Path Computation Element Communication Protocol
4189	udp	(reserved)	Reserved
4190	tcp	sieve	ManageSieve Protocol
4190	udp	(reserved)	Reserved
4191	tcp	(reserved)	Reserved
4191	udp	dsmipv6	Dual Stack MIPv6 NAT Traversal
4192	tcp	azeti	Azeti Agent Service
4192	udp	azeti-bd	azeti blinddate
4193	tcp	pvxplusio	PxPlus remote file srvr
4193	udp	(reserved)	Reserved
4194	tcp	spdm	Security Protocol and Data Model
4194	udp	(reserved)	Reserved
4195	tcp udp sctp dccp	aws-wsp	AWS protocol for cloud remoting solution
4196		(unassigned)	Unassigned
4197	tcp udp	hctl	Harman HControl Protocol
4198		(unassigned)	Unassigned
4199	tcp udp	eims-admin	EIMS ADMIN
4200-4299		vrml-multi-use	VRML Multi User Systems
4300	tcp udp	corelccam	Corel CCam
4301	tcp udp	d-data	Diagnostic Data
4302	tcp udp	d-data-control	Diagnostic Data Control
4303	tcp udp	srcp	Simple Railroad Command Protocol
4304	tcp udp	owserver	One-Wire Filesystem Server
4305	tcp udp	batman	better approach to mobile ad-hoc networking
4306	tcp udp	pinghgl	Hellgate London
4307	tcp udp	trueconf	TrueConf Videoconference Service
4308	tcp udp	compx-lockview	CompX-LockView
4309	tcp udp	dserver	Exsequi Appliance Discovery
4310	tcp udp	mirrtex	Mir-RT exchange service
4311	tcp	p6ssmc	P6R Secure Server Management Console
4311	udp	(reserved)	Reserved
4312	tcp	pscl-mgt	Parascale Membership Manager
4312	udp	(reserved)	Reserved
4313	tcp	perrla	PERRLA User Services
4313	udp	(reserved)	Reserved
4314	tcp	choiceview-agt	ChoiceView Agent
4314	udp	(reserved)	Reserved
4315		(unassigned)	Unassigned	Unauthorized Use Known on port 4315
4316	tcp	choiceview-clt	ChoiceView Client
4316	udp	(reserved)	Reserved
4317	tcp	opentelemetry	OpenTelemetry Protocol
4317	udp	(reserved)	Reserved
4318		(unassigned)	Unassigned
4319	tcp udp	skytale	Sentyron SkyTale encrypted communication
4320	tcp udp	fdt-rcatp	FDT Remote Categorization Protocol
4321	tcp udp	rwhois	Remote Who Is
4322	tcp udp	trim-event	TRIM Event Service
4323	tcp udp	trim-ice	TRIM ICE Service
4324		(reserved)	Reserved	This entry is being removed on 2015-05-12.
4325	tcp	geognosisadmin	Cadcorp GeognoSIS Administrator
4325	udp	geognosisman	Cadcorp GeognoSIS Administrator
4326	tcp udp	geognosis	Cadcorp GeognoSIS
4327	tcp udp	jaxer-web	Jaxer Web Protocol
4328	tcp udp	jaxer-manager	Jaxer Manager Command Protocol
4329	tcp	publiqare-sync	PubliQare Distributed Environment Synchronisation Engine
4329	udp	(reserved)	Reserved
4330	tcp	dey-sapi	DEY Storage Administration REST API
4330	udp	(reserved)	Reserved
4331	tcp	ktickets-rest	ktickets REST API for event management and ticketing systems (embedded POS devices)
4331	udp	(reserved)	Reserved
4332	tcp	getty-focus	Getty Images FOCUS service
4332	udp	(reserved)	Reserved
4333	tcp udp sctp	ahsp	ArrowHead Service Protocol (AHSP)
4334	tcp	netconf-ch-ssh	NETCONF Call Home (SSH)
4334	udp	(reserved)	Reserved
4335	tcp	netconf-ch-tls	NETCONF Call Home (TLS)
4335	udp	(reserved)	Reserved
4336	tcp	restconf-ch-tls	RESTCONF Call Home (TLS)
4336	udp	(reserved)	Reserved
4337-4339		(unassigned)	Unassigned
4340	tcp udp	gaia	Gaia Connector Protocol
4341	tcp	(reserved)	Reserved
4341	udp	lisp-data	LISP Data Packets
4342	tcp	(reserved)	Reserved
4342	udp	lisp-control	LISP Control Packets
4343	tcp udp	unicall	UNICALL
4344	tcp udp	vinainstall	VinaInstall
4345	tcp udp	m4-network-as	Macro 4 Network AS
4346	tcp udp	elanlm	ELAN LM
4347	tcp udp	lansurveyor	LAN Surveyor
4348	tcp udp	itose	ITOSE
4349	tcp udp	fsportmap	File System Port Map
4350	tcp udp	net-device	Net Device
4351	tcp udp	plcy-net-svcs	PLCY Net Services
4352	tcp udp	pjlink	Projector Link
4353	tcp udp	f5-iquery	F5 iQuery
4354	tcp udp	qsnet-trans	QSNet Transmitter
4355	tcp udp	qsnet-workst	QSNet Workstation
4356	tcp udp	qsnet-assist	QSNet Assistant
4357	tcp udp	qsnet-cond	QSNet Conductor
4358	tcp udp	qsnet-nucl	QSNet Nucleus
4359	tcp udp	omabcastltkm	OMA BCAST Long-Term Key Messages
4360	tcp	matrix-vnet	Matrix VNet Communication Protocol IANA assigned this well-formed service name as a replacement for "matrix_vnet".
4360	tcp	matrix_vnet	Matrix VNet Communication Protocol
4360	udp	(reserved)	Reserved
4361	tcp	(reserved)	Reserved
4361	udp	nacnl	NavCom Discovery and Control Port
4362	tcp	(reserved)	Reserved
4362	udp	afore-vdp-disc	AFORE vNode Discovery protocol
4363-4365		(unassigned)	Unassigned
4366	udp	shadowstream	ShadowStream System
4366	tcp	(reserved)	Reserved
4367		(unassigned)	Unassigned
4368	tcp udp	wxbrief	WeatherBrief Direct
4369	tcp udp	epmd	Erlang Port Mapper Daemon
4370	tcp udp	elpro-tunnel	ELPRO V2 Protocol Tunnel IANA assigned this well-formed service name as a replacement for "elpro_tunnel".
4370	tcp udp	elpro_tunnel	ELPRO V2 Protocol Tunnel
4371	tcp	l2c-control	LAN2CAN Control
4371	udp	l2c-disc	LAN2CAN Discovery
4372	tcp udp	l2c-data	LAN2CAN Data
4373	tcp udp	remctl	Remote Authenticated Command Service
4374	tcp	psi-ptt	PSI Push-to-Talk Protocol
4374	udp	(reserved)	Reserved
4375	tcp udp	tolteces	Toltec EasyShare
4376	tcp udp	bip	BioAPI Interworking
4377	tcp udp	cp-spxsvr	Cambridge Pixel SPx Server
4378	tcp udp	cp-spxdpy	Cambridge Pixel SPx Display
4379	tcp udp	ctdb	CTDB
4380-4388		(unassigned)	Unassigned
4389	tcp udp	xandros-cms	Xandros Community Management Service
4390	tcp udp	wiegand	Physical Access Control
4391	tcp	apwi-imserver	American Printware IMServer Protocol
4391	udp	(reserved)	Reserved
4392	tcp	apwi-rxserver	American Printware RXServer Protocol
4392	udp	(reserved)	Reserved
4393	tcp	apwi-rxspooler	American Printware RXSpooler Protocol
4393	udp	(reserved)	Reserved
4394	tcp	(reserved)	Reserved
4394	udp	apwi-disc	American Printware Discovery
4395	tcp udp	omnivisionesx	OmniVision communication for Virtual environments
4396	tcp	fly	Fly Object Space
4396	udp	(reserved)	Reserved
4397-4399		(unassigned)	Unassigned
4400	tcp udp	ds-srv	ASIGRA Services
4401	tcp udp	ds-srvr	ASIGRA Televaulting DS-System Service
4402	tcp udp	ds-clnt	ASIGRA Televaulting DS-Client Service
4403	tcp udp	ds-user	ASIGRA Televaulting DS-Client Monitoring/Management
4404	tcp udp	ds-admin	ASIGRA Televaulting DS-System Monitoring/Management
4405	tcp udp	ds-mail	ASIGRA Televaulting Message Level Restore service
4406	tcp udp	ds-slp	ASIGRA Televaulting DS-Sleeper Service
4407	tcp	nacagent	Network Access Control Agent
4407	udp	(reserved)	Reserved
4408	tcp	slscc	SLS Technology Control Centre
4408	udp	(reserved)	Reserved
4409	tcp	netcabinet-com	Net-Cabinet comunication
4409	udp	(reserved)	Reserved
4410	tcp	itwo-server	RIB iTWO Application Server
4410	udp	(reserved)	Reserved
4411	tcp	found	Found Messaging Protocol
4411	udp	(reserved)	Reserved
4412	tcp	(reserved)	Reserved
4412	udp	smallchat	SmallChat
4413	tcp	vision-mon	FORTÉ Vision Monitoring platform
4413	udp	vision-mon-disc	FORTÉ Vision Monitoring platform
4414	tcp	updog	Updog Monitoring and Status Framework
4414	udp	(reserved)	Reserved
4415	tcp	brcd-vr-req	Brocade Virtual Router Request
4415	udp	(reserved)	Reserved
4416	tcp	pjj-player	PJJ Media Player
4416	udp	pjj-player-disc	PJJ Media Player discovery
4417	tcp	workflowdir	Workflow Director Communication
4417	udp	(reserved)	Reserved
4418	tcp	(reserved)	Reserved
4418	udp	axysbridge	AXYS communication protocol
4419	tcp	cbp	Colnod Binary Protocol
4419	udp	(reserved)	Reserved
4420	tcp udp	nvme	NVM Express over Fabrics storage access
4421	tcp	scaleft	Multi-Platform Remote Management for Cloud Infrastructure
4421	udp	(reserved)	Reserved
4422	tcp	tsepisp	TSEP Installation Service Protocol
4422	udp	(reserved)	Reserved
4423	tcp	thingkit	thingkit secure mesh
4423	udp	(reserved)	Reserved
4424		(unassigned)	Unassigned
4425	tcp udp	netrockey6	NetROCKEY6 SMART Plus Service
4426	tcp udp	beacon-port-2	SMARTS Beacon Port
4427	tcp	drizzle	Drizzle database server
4427	udp	(reserved)	Reserved
4428	tcp	omviserver	OMV-Investigation Server-Client
4428	udp	(reserved)	Reserved
4429	tcp	omviagent	OMV Investigation Agent-Server
4429	udp	(reserved)	Reserved
4430	tcp udp	rsqlserver	REAL SQL Server
4431	tcp	wspipe	adWISE Pipe
4431	udp	(reserved)	Reserved
4432	tcp udp	l-acoustics	L-ACOUSTICS management
4433	tcp	vop	Versile Object Protocol
4433	udp	(reserved)	Reserved
4434-4440		(unassigned)	Unassigned
4441	tcp	(reserved)	Reserved
4441	udp	netblox	Netblox Protocol
4442	tcp udp	saris	Saris
4443	tcp udp	pharos	Pharos	Known Unauthorized Use on port 4443
4444	tcp udp	krb524	KRB524	krb524 assigned the port, nv used it without an assignment
4444	tcp udp	nv-video	NV Video default	krb524 assigned the port, nv used it without an assignment
4445	tcp udp	upnotifyp	UPNOTIFYP
4446	tcp udp	n1-fwp	N1-FWP
4447	tcp udp	n1-rmgmt	N1-RMGMT
4448	tcp udp	asc-slmd	ASC Licence Manager
4449	tcp udp	privatewire	PrivateWire
4450	tcp udp	camp	Common ASCII Messaging Protocol
4451	tcp udp	ctisystemmsg	CTI System Msg
4452	tcp udp	ctiprogramload	CTI Program Load
4453	tcp udp	nssalertmgr	NSS Alert Manager
4454	tcp udp	nssagentmgr	NSS Agent Manager
4455	tcp udp	prchat-user	PR Chat User
4456	tcp udp	prchat-server	PR Chat Server
4457	tcp udp	prRegister	PR Register
4458	tcp udp	mcp	Matrix Configuration Protocol
4459		(unassigned)	Unassigned
4460	tcp	ntske	Network Time Security Key Establishment
4460	udp	(reserved)	Reserved
4461-4483		(unassigned)	Unassigned
4484	tcp udp	hpssmgmt	hpssmgmt service
4485	tcp	assyst-dr	Assyst Data Repository Service
4485	udp	(reserved)	Reserved
4486	tcp udp	icms	Integrated Client Message Service
4487	tcp	prex-tcp	Protocol for Remote Execution over TCP
4487	udp	(reserved)	Reserved
4488	tcp udp	awacs-ice	Apple Wide Area Connectivity Service ICE Bootstrap
4489-4499		(unassigned)	Unassigned	Known UNAUTHORIZED USE: Ports 4490 and 4491
4500	tcp udp	ipsec-nat-t	IPsec NAT-Traversal
4501		(unassigned)	Unassigned	De-registered 08 June 2001
4502	sctp	a25-fap-fgw	A25 (FAP-FGW)
4503	tcp	(reserved)	Reserved
4503	udp	m-bus-oms	M-Bus-OMS over UDP
4504-4533		(unassigned)	Unassigned
4534	tcp	(reserved)	Reserved
4534	udp	armagetronad	Armagetron Advanced Game Server
4535	tcp udp	ehs	Event Heap Server
4536	tcp udp	ehs-ssl	Event Heap Server SSL
4537	tcp udp	wssauthsvc	WSS Security Service
4538	tcp udp	swx-gate	Software Data Exchange Gateway
4539-4544		(unassigned)	Unassigned
4545	tcp udp	worldscores	WorldScores
4546	tcp udp	sf-lm	SF License Manager (Sentinel)
4547	tcp udp	lanner-lm	Lanner License Manager
4548	tcp udp	synchromesh	Synchromesh
4549	tcp udp	aegate	Aegate PMR Service
4550	tcp udp	gds-adppiw-db	Perman I Interbase Server
4551	tcp udp	ieee-mih	MIH Services
4552	tcp udp	menandmice-mon	Men and Mice Monitoring
4553	tcp	icshostsvc	ICS host services
4553	udp	(reserved)	Reserved
4554	tcp udp	msfrs	MS FRS Replication
4555	tcp udp	rsip	RSIP Port
4556	tcp udp dccp	dtn-bundle	DTN Bundle TCP CL Protocol; udp: DTN Bundle UDP CL Protocol; dccp: DTN Bundle DCCP CL Protocol
4557	tcp	(reserved)	Reserved
4557	udp	mtcevrunqss	Marathon everRun Quorum Service Server
4558	tcp	(reserved)	Reserved
4558	udp	mtcevrunqman	Marathon everRun Quorum Service Manager
4559	tcp udp	hylafax	HylaFAX
4560-4562		(unassigned)	Unassigned
4563	tcp	amahi-anywhere	Amahi Anywhere
4563	udp	(reserved)	Reserved
4564-4565		(unassigned)	Unassigned
4566	tcp udp	kwtc	Kids Watch Time Control Service
4567	tcp udp	tram	TRAM
4568	tcp udp	bmc-reporting	BMC Reporting
4569	tcp udp	iax	Inter-Asterisk eXchange
4570	tcp	deploymentmap	Service to distribute and update within a site deployment information for Oracle Communications Suite
4570	udp	(reserved)	Reserved
4571-4572		(unassigned)	Unassigned
4573	tcp	cardifftec-back	A port for communication between a server and client for a custom backup system
4573	udp	(reserved)	Reserved
4574-4589		(unassigned)	Unassigned
4590	tcp	rid	RID over HTTP/TLS
4590	udp	(reserved)	Reserved
4591	tcp udp	l3t-at-an	HRPD L3T (AT-AN)
4592	tcp	(reserved)	Reserved
4592	udp	hrpd-ith-at-an	HRPD-ITH (AT-AN)
4593	tcp udp	ipt-anri-anri	IPT (ANRI-ANRI)
4594	tcp udp	ias-session	IAS-Session (ANRI-ANRI)
4595	tcp udp	ias-paging	IAS-Paging (ANRI-ANRI)
4596	tcp udp	ias-neighbor	IAS-Neighbor (ANRI-ANRI)
4597	tcp udp	a21-an-1xbs	A21 (AN-1xBS)
4598	tcp udp	a16-an-an	A16 (AN-AN)
4599	tcp udp	a17-an-an	A17 (AN-AN)
4600	tcp udp	piranha1	Piranha1
4601	tcp udp	piranha2	Piranha2
4602	tcp	mtsserver	EAX MTS Server
4602	udp	(reserved)	Reserved
4603	tcp	menandmice-upg	Men & Mice Upgrade Agent
4603	udp	(reserved)	Reserved
4604	tcp	irp	Identity Registration Protocol
4604	udp	(reserved)	Reserved
4605	tcp	sixchat	Direct End to End Secure Chat Protocol
4605	udp	(reserved)	Reserved
4606	tcp	sixid	Secure ID to IP registration and lookup
4606	udp	(reserved)	Reserved
4607-4620		(unassigned)	Unassigned
4621	tcp	(reserved)	Reserved
4621	udp	ventoso	Bidirectional single port remote radio VOIP and Control stream
4622-4645		(unassigned)	Unassigned
4646	tcp udp	dots-signal	Distributed Denial-of-Service Open Threat Signaling (DOTS) Signal Channel Protocol. The service name is used to construct the SRV service names "_dots-signal._udp" and "_dots-signal._tcp" for discovering DOTS servers used to establish DOTS signal channel.
4647-4657		(unassigned)	Unassigned
4658	tcp udp	playsta2-app	PlayStation2 App Port
4659	tcp udp	playsta2-lob	PlayStation2 Lobby Port
4660	tcp udp	smaclmgr	smaclmgr
4661	tcp udp	kar2ouche	Kar2ouche Peer location service
4662	tcp udp	oms	OrbitNet Message Service
4663	tcp udp	noteit	Note It! Message Service
4664	tcp udp	ems	Rimage Messaging Server
4665	tcp udp	contclientms	Container Client Message Service
4666	tcp udp	eportcomm	E-Port Message Service
4667	tcp udp	mmacomm	MMA Comm Services
4668	tcp udp	mmaeds	MMA EDS Service
4669	tcp udp	eportcommdata	E-Port Data Service
4670	tcp udp	light	Light packets transfer protocol
4671	tcp udp	acter	Bull RSF action server
4672	tcp udp	rfa	remote file access server
4673	tcp udp	cxws	CXWS Operations
4674	tcp udp	appiq-mgmt	AppIQ Agent Management
4675	tcp udp	dhct-status	BIAP Device Status
4676	tcp udp	dhct-alerts	BIAP Generic Alert
4677	tcp udp	bcs	Business Continuity Servi
4678	tcp udp	traversal	boundary traversal
4679	tcp udp	mgesupervision	MGE UPS Supervision
4680	tcp udp	mgemanagement	MGE UPS Management
4681	tcp udp	parliant	Parliant Telephony System
4682	tcp udp	finisar	finisar
4683	tcp udp	spike	Spike Clipboard Service
4684	tcp udp	rfid-rp1	RFID Reader Protocol 1.0
4685	tcp udp	autopac	Autopac Protocol
4686	tcp udp	msp-os	Manina Service Protocol
4687	tcp udp	nst	Network Scanner Tool FTP
4688	tcp udp	mobile-p2p	Mobile P2P Service
4689	tcp udp	altovacentral	Altova DatabaseCentral
4690	tcp udp	prelude	Prelude IDS message proto
4691	tcp udp	mtn	monotone Netsync Protocol
4692	tcp udp	conspiracy	Conspiracy messaging
4693-4699		(unassigned)	Unassigned
4700	tcp udp	netxms-agent	NetXMS Agent
4701	tcp udp	netxms-mgmt	NetXMS Management
4702	tcp udp	netxms-sync	NetXMS Server Synchronization
4703	tcp	npqes-test	Network Performance Quality Evaluation System Test Service
4703	udp	(reserved)	Reserved
4704	tcp	assuria-ins	Assuria Insider
4704	udp	(reserved)	Reserved
4705-4710		(unassigned)	Unassigned
4711	tcp udp sctp	trinity-dist	Trinity Trust Network Node Communication
4712-4724		(unassigned)	Unassigned
4725	tcp udp	truckstar	TruckStar Service
4726	tcp	(reserved)	Reserved
4726	udp	a26-fap-fgw	A26 (FAP-FGW)
4727	tcp	fcis	F-Link Client Information Service
4727	udp	fcis-disc	F-Link Client Information Service Discovery
4728	tcp udp	capmux	CA Port Multiplexer
4729	tcp	(reserved)	Reserved
4729	udp	gsmtap	GSM Interface Tap
4730	tcp udp	gearman	Gearman Job Queue System
4731	tcp	remcap	Remote Capture Protocol
4731	udp	(reserved)	Reserved
4732	tcp	(reserved)	Reserved
4732	udp	ohmtrigger	OHM server trigger
4733	tcp	resorcs	RES Orchestration Catalog Services
4733	udp	(reserved)	Reserved
4734-4736		(unassigned)	Unassigned
4737	tcp udp	ipdr-sp	IPDR/SP
4738	tcp udp	solera-lpn	SoleraTec Locator
4739	tcp udp sctp	ipfix	IP Flow Info Export
4740	tcp udp sctp	ipfixs	ipfix protocol over TLS; sctp, udp: ipfix protocol over DTLS
4741	tcp udp	lumimgrd	Luminizer Manager
4742	tcp	sicct	SICCT
4742	udp	sicct-sdp	SICCT Service Discovery Protocol
4743	tcp udp	openhpid	openhpi HPI service
4744	tcp udp	ifsp	Internet File Synchronization Protocol
4745	tcp udp	fmp	Funambol Mobile Push
4746	tcp	(reserved)	Reserved
4746	udp	intelliadm-disc	IntelliAdmin Discovery
4747	udp	buschtrommel	peer-to-peer file exchange protocol
4747	tcp	(reserved)	Reserved
4748-4748		(unassigned)	Unassigned
4749	tcp udp	profilemac	Profile for Mac
4750	tcp udp	ssad	Simple Service Auto Discovery
4751	tcp udp	spocp	Simple Policy Control Protocol
4752	tcp udp	snap	Simple Network Audio Protocol
4753	tcp	simon	Simple Invocation of Methods Over Network (SIMON)
4753	udp	simon-disc	Simple Invocation of Methods Over Network (SIMON) Discovery
4754	tcp	(reserved)	Reserved
4754	udp	gre-in-udp	GRE-in-UDP Encapsulation
4755	tcp	(reserved)	Reserved
4755	udp	gre-udp-dtls	GRE-in-UDP Encapsulation with DTLS
4756	tcp	RDCenter	Reticle Decision Center
4756	udp	(reserved)	Reserved
4757-4773		(unassigned)	Unassigned
4774	tcp	converge	Converge RPC
4774	udp	(reserved)	Reserved
4775-4783		(unassigned)	Unassigned
4784	tcp udp	bfd-multi-ctl	BFD Multihop Control
4785	tcp	(reserved)	Reserved
4785	udp	cncp	Cisco Nexus Control Protocol
4786	tcp	smart-install	Smart Install Service
4786	udp	(reserved)	Reserved
4787	tcp	sia-ctrl-plane	Service Insertion Architecture (SIA) Control-Plane
4787	udp	(reserved)	Reserved
4788	tcp	xmcp	eXtensible Messaging Client Protocol
4788	udp	(reserved)	Reserved
4789	udp	vxlan	Virtual eXtensible Local Area Network (VXLAN)
4789	tcp	(reserved)	Reserved
4790	udp	vxlan-gpe	Generic Protocol Extension for Virtual eXtensible Local Area Network (VXLAN)
4790	tcp	(reserved)	Reserved
4791	udp	roce	IP Routable RocE
4791	tcp	(reserved)	Reserved
4792	tcp udp	unified-bus	IP Routable Unified Bus
4793	tcp	(reserved)	Reserved
4793	udp	uet	Ultra Ethernet Transport
4794-4799		(unassigned)	Unassigned
4800	tcp udp	iims	Icona Instant Messenging System
4801	tcp udp	iwec	Icona Web Embedded Chat
4802	tcp udp	ilss	Icona License System Server
4803	tcp	notateit	Notateit Messaging
4803	udp	notateit-disc	Notateit Messaging Discovery
4804	tcp	(reserved)	Reserved
4804	udp	aja-ntv4-disc	AJA ntv4 Video System Discovery
4805-4826		(unassigned)	Unassigned
4827	tcp udp	htcp	HTCP
4828-4836		(unassigned)	Unassigned
4837	tcp udp	varadero-0	Varadero-0
4838	tcp udp	varadero-1	Varadero-1
4839	tcp udp	varadero-2	Varadero-2
4840	tcp	opcua-tcp	OPC UA Connection Protocol
4840	udp	opcua-udp	OPC UA Multicast Datagram Protocol
4841	tcp udp	quosa	QUOSA Virtual Library Service
4842	tcp udp	gw-asv	nCode ICE-flow Library AppServer
4843	tcp udp	opcua-tls	OPC UA TCP Protocol over TLS/SSL
4844	tcp udp	gw-log	nCode ICE-flow Library LogServer
4845	tcp udp	wcr-remlib	WordCruncher Remote Library Service
4846	tcp udp	contamac-icm	Contamac ICM Service IANA assigned this well-formed service name as a replacement for "contamac_icm".
4846	tcp udp	contamac_icm	Contamac ICM Service
4847	tcp udp	wfc	Web Fresh Communication
4848	tcp udp	appserv-http	App Server - Admin HTTP
4849	tcp udp	appserv-https	App Server - Admin HTTPS
4850	tcp udp	sun-as-nodeagt	Sun App Server - NA
4851	tcp udp	derby-repli	Apache Derby Replication
4852-4866		(unassigned)	Unassigned
4867	tcp udp	unify-debug	Unify Debugger
4868	tcp udp	phrelay	Photon Relay
4869	tcp udp	phrelaydbg	Photon Relay Debug
4870	tcp udp	cc-tracking	Citcom Tracking Service
4871	tcp udp	wired	Wired
4872-4875		(unassigned)	Unassigned
4876	tcp udp	tritium-can	Tritium CAN Bus Bridge Service
4877	tcp udp	lmcs	Lighting Management Control System
4878	tcp	(reserved)	Reserved
4878	udp	inst-discovery	Agilent Instrument Discovery
4879	tcp	wsdl-event	WSDL Event Receiver
4879	udp	(reserved)	Reserved
4880	tcp	hislip	IVI High-Speed LAN Instrument Protocol
4880	udp	(reserved)	Reserved
4881	tcp	(reserved)	Reserved
4881	udp	socp-t	SOCP Time Synchronization Protocol
4882	tcp	(reserved)	Reserved
4882	udp	socp-c	SOCP Control Protocol
4883	tcp	wmlserver	Meier-Phelps License Server
4883	udp	(reserved)	Reserved
4884	tcp udp	hivestor	HiveStor Distributed File System
4885	tcp udp	abbs	ABBS
4886-4887		(unassigned)	Unassigned
4888	tcp	xcap-portal	xcap code analysis portal public user access
4888	udp	(reserved)	Reserved
4889	tcp	xcap-control	xcap code analysis portal cluster control and administration
4889	udp	(reserved)	Reserved
4890-4893		(unassigned)	Unassigned
4894	tcp udp	lyskom	LysKOM Protocol A
4895-4898		(unassigned)	Unassigned
4899	tcp udp	radmin-port	RAdmin Port
4900	tcp udp	hfcs	HFSQL Client/Server Database Engine
4901	tcp	flr-agent	FileLocator Remote Search Agent IANA assigned this well-formed service name as a replacement for "flr_agent".
4901	tcp	flr_agent	FileLocator Remote Search Agent
4901	udp	(reserved)	Reserved
4902	tcp	magiccontrol	magicCONROL RF and Data Interface
4902	udp	(reserved)	Reserved
4903-4911		(unassigned)	Unassigned
4912	tcp	lutap	Technicolor LUT Access Protocol
4912	udp	(reserved)	Reserved
4913	tcp	lutcp	LUTher Control Protocol
4914	tcp udp	bones	Bones Remote Control
4915	tcp	frcs	Fibics Remote Control Service
4915	udp	(reserved)	Reserved
4916-4935		(unassigned)	Unassigned
4936	udp	an-signaling	Signal protocol port for autonomic networking
4936	tcp	(reserved)	Reserved
4937	tcp	(reserved)	Reserved
4937	udp	atsc-mh-ssc	ATSC-M/H Service Signaling Channel
4938-4939		(unassigned)	Unassigned
4940	tcp udp	eq-office-4940	Equitrac Office
4941	tcp udp	eq-office-4941	Equitrac Office
4942	tcp udp	eq-office-4942	Equitrac Office
4943-4948		(unassigned)	Unassigned
4949	tcp udp	munin	Munin Graphing Framework
4950	tcp udp	sybasesrvmon	Sybase Server Monitor
4951	tcp udp	pwgwims	PWG WIMS
4952	tcp udp	sagxtsds	SAG Directory Server
4953	tcp	dbsyncarbiter	Synchronization Arbiter
4953	udp	(reserved)	Reserved
4954-4968		(unassigned)	Unassigned	Known UNAUTHORIZED USE: port 4967
4969	tcp udp	ccss-qmm	CCSS QMessageMonitor
4970	tcp udp	ccss-qsm	CCSS QSystemMonitor
4971	tcp	burp	BackUp and Restore Program
4971	udp	(reserved)	Reserved
4972-4979		(unassigned)	Unassigned
4980	udp	ctxs-vpp	Citrix Virtual Path
4980	tcp	(reserved)	Reserved
4981-4982		(unassigned)	Unassigned
4983		(unassigned)	Unassigned
4984	tcp	webyast	WebYast
4984	udp	(reserved)	Reserved
4985	tcp	gerhcs	GER HC Standard
4985	udp	(reserved)	Reserved
4986	tcp udp	mrip	Model Railway Interface Program
4987	tcp udp	smar-se-port1	SMAR Ethernet Port 1
4988	tcp udp	smar-se-port2	SMAR Ethernet Port 2
4989	tcp udp	parallel	Parallel for GAUSS (tm)
4990	tcp udp	busycal	BusySync Calendar Synch. Protocol
4991	tcp udp	vrt	VITA Radio Transport
4992-4998		(unassigned)	Unassigned
4999	tcp udp	hfcs-manager	HFSQL Client/Server Database Engine Manager
5000	tcp udp	commplex-main
5001	tcp udp	commplex-link
5002	tcp udp	rfe	radio free ethernet
5003	tcp udp	fmpro-internal	FileMaker, Inc. - Proprietary transport; udp: FileMaker, Inc. - Proprietary name binding
5004	tcp udp dccp	avt-profile-1	RTP media data
5005	tcp udp dccp	avt-profile-2	RTP control protocol
5006	tcp udp	wsm-server	wsm server
5007	tcp udp	wsm-server-ssl	wsm server ssl
5008	tcp udp	synapsis-edge	Synapsis EDGE
5009	tcp udp	winfs	Microsoft Windows Filesystem
5010	tcp udp	telelpathstart	TelepathStart
5011	tcp udp	telelpathattack	TelepathAttack
5012	tcp udp	nsp	NetOnTap Service
5013	tcp udp	fmpro-v6	FileMaker, Inc. - Proprietary transport
5014	tcp	(reserved)	Reserved
5014	udp	onpsocket	Overlay Network Protocol
5015	tcp	fmwp	FileMaker, Inc. - Web publishing
5015	udp	(reserved)	Reserved
5016-5019		(unassigned)	Unassigned
5020	tcp udp	zenginkyo-1	zenginkyo-1
5021	tcp udp	zenginkyo-2	zenginkyo-2
5022	tcp udp	mice	mice server
5023	tcp udp	htuilsrv	Htuil Server for PLD2
5024	tcp udp	scpi-telnet	SCPI-TELNET
5025	tcp udp	scpi-raw	SCPI-RAW
5026	tcp udp	strexec-d	Storix I/O daemon (data)
5027	tcp udp	strexec-s	Storix I/O daemon (stat)
5028	tcp	qvr	Quiqum Virtual Relais
5028	udp	(reserved)	Reserved
5029	tcp udp	infobright	Infobright Database Server
5030	tcp udp	(reserved)	Reserved	Historic usage was surfpass. De-Assigned on 2022-01-10
5031	tcp	(reserved)	Reserved
5031	udp	dmp	Direct Message Protocol
5032	tcp	signacert-agent	SignaCert Enterprise Trust Server Agent
5032	udp	(reserved)	Reserved
5033	tcp	jtnetd-server	Janstor Secure Data
5033	udp	(reserved)	Reserved
5034	tcp	jtnetd-status	Janstor Status
5034	udp	(reserved)	Reserved
5035-5041		(unassigned)	Unassigned
5042	tcp udp	asnaacceler8db	asnaacceler8db
5043	tcp udp	swxadmin	ShopWorX Administration
5044	tcp udp	lxi-evntsvc	LXI Event Service
5045	tcp	osp	Open Settlement Protocol
5045	udp	(reserved)	Reserved
5046	tcp	(reserved)	Reserved
5046	udp	vpm-udp	Vishay PM UDP Service
5047	tcp	(reserved)	Reserved
5047	udp	iscape	iSCAPE Data Broadcasting
5048	tcp	texai	Texai Message Service
5048	udp	(reserved)	Reserved
5049	tcp udp	ivocalize	iVocalize Web Conference
5050	tcp udp	mmcc	multimedia conference control tool
5051	tcp udp	ita-agent	ITA Agent
5052	tcp udp	ita-manager	ITA Manager
5053	tcp	rlm	RLM License Server
5053	udp	rlm-disc	RLM Discovery Server
5054	tcp	rlm-admin	RLM administrative interface
5054	udp	(reserved)	Reserved
5055	tcp udp	unot	UNOT
5056	tcp udp	intecom-ps1	Intecom Pointspan 1
5057	tcp udp	intecom-ps2	Intecom Pointspan 2
5058	tcp	(reserved)	Reserved
5058	udp	locus-disc	Locus Discovery
5059	tcp udp	sds	SIP Directory Services
5060	tcp udp sctp	sip	SIP
5061	tcp udp sctp	sips	SIP-TLS
5062	tcp udp	na-localise	Localisation access
5063	tcp	csrpc	centrify secure RPC
5063	udp	(reserved)	Reserved
5064	tcp udp	ca-1	Channel Access 1
5065	tcp udp	ca-2	Channel Access 2
5066	tcp udp	stanag-5066	STANAG-5066-SUBNET-INTF
5067	tcp udp	authentx	Authentx Service
5068	tcp	bitforestsrv	Bitforest Data Service
5068	udp	(reserved)	Reserved
5069	tcp udp	i-net-2000-npr	I/Net 2000-NPR
5070	tcp udp	vtsas	VersaTrans Server Agent Service
5071	tcp udp	powerschool	PowerSchool
5072	tcp udp	ayiya	Anything In Anything
5073	tcp udp	tag-pm	Advantage Group Port Mgr
5074	tcp udp	alesquery	ALES Query
5075	tcp	pvaccess	Experimental Physics and Industrial Control System
5075	udp	(reserved)	Reserved
5076-5077		(unassigned)	Unassigned
5078	udp	pixelpusher	PixelPusher pixel data
5078	tcp	(reserved)	Reserved
5079	tcp	(reserved)	Reserved
5079	udp	cp-spxrpts	Cambridge Pixel SPx Reports
5080	tcp udp	onscreen	OnScreen Data Collection Service
5081	tcp udp	sdl-ets	SDL - Ent Trans Server
5082	tcp udp	qcp	Qpur Communication Protocol
5083	tcp udp	qfp	Qpur File Protocol
5084	tcp udp	llrp	EPCglobal Low-Level Reader Protocol
5085	tcp udp	encrypted-llrp	EPCglobal Encrypted LLRP
5086	tcp	aprigo-cs	Aprigo Collection Service
5086	udp	(reserved)	Reserved
5087	tcp	biotic	BIOTIC - Binary Internet of Things Interoperable Communication
5087	udp	(reserved)	Reserved
5088-5089		(unassigned)	Unassigned
5090	sctp	car	Candidate AR
5091	sctp	cxtp	Context Transfer Protocol
5092	tcp	(reserved)	Reserved
5092	udp	magpie	Magpie Binary
5093	tcp udp	sentinel-lm	Sentinel LM
5094	tcp udp	hart-ip	HART-IP
5095-5098		(unassigned)	Unassigned
5099	tcp udp	sentlm-srv2srv	SentLM Srv2Srv
5100	tcp udp	socalia	Socalia service mux
5101	tcp	talarian-tcp	Talarian_TCP
5101	udp	talarian-udp	Talarian_UDP
5102	tcp udp	oms-nonsecure	Oracle OMS non-secure
5103	tcp	actifio-c2c	Actifio C2C
5103	udp	(reserved)	Reserved
5104	tcp	(reserved)	Reserved
5104	udp	tinymessage	TinyMessage
5105	tcp	(reserved)	Reserved
5105	udp	hughes-ap	Hughes Association Protocol
5106	tcp	actifioudsagent	Actifio UDS Agent
5106	udp	(reserved)	Reserved
5107	tcp	actifioreplic	Disk to Disk replication between Actifio Clusters
5107	udp	(reserved)	Reserved
5108-5110		(unassigned)	Unassigned
5111	tcp udp	taep-as-svc	TAEP AS service
5112	tcp udp	pm-cmdsvr	PeerMe Msg Cmd Service
5113		(unassigned)	Unassigned
5114	tcp	ev-services	Enterprise Vault Services
5114	udp	(reserved)	Reserved
5115	tcp	autobuild	Symantec Autobuild Service
5115	udp	(reserved)	Reserved
5116	tcp	(reserved)	Reserved
5116	udp	emb-proj-cmd	EPSON Projecter Image Transfer
5117	tcp	gradecam	GradeCam Image Processing
5117	udp	(reserved)	Reserved
5118-5119		(unassigned)	Unassigned
5120	tcp udp	barracuda-bbs	Barracuda Backup Protocol
5121-5132		(unassigned)	Unassigned
5133	tcp udp	nbt-pc	Policy Commander
5134	tcp	ppactivation	PP ActivationServer
5134	udp	(reserved)	Reserved
5135	tcp	erp-scale	ERP-Scale
5135	udp	(reserved)	Reserved
5136	tcp	(reserved)	Reserved
5136	udp	minotaur-sa	Minotaur SA
5137	tcp udp	ctsd	MyCTS server port
5138-5144		(unassigned)	Unassigned
5145	tcp udp	rmonitor-secure	RMONITOR SECURE IANA assigned this well-formed service name as a replacement for "rmonitor_secure".
5145	tcp udp	rmonitor_secure	RMONITOR SECURE
5146	tcp	social-alarm	Social Alarm Service
5146	udp	(reserved)	Reserved
5147-5149		(unassigned)	Unassigned
5150	tcp udp	atmp	Ascend Tunnel Management Protocol
5151	tcp udp	esri-sde	ESRI SDE Instance IANA assigned this well-formed service name as a replacement for "esri_sde".; udp: ESRI SDE Remote Start IANA assigned this well-formed service name as a replacement for "esri_sde".	Unauthorized Use Known on ports 5151 and 5152
5151	tcp udp	esri_sde	ESRI SDE Instance; udp: ESRI SDE Remote Start
5152	tcp udp	sde-discovery	ESRI SDE Instance Discovery	Unauthorized Use Known on ports 5151 and 5152
5153	tcp	(reserved)	Reserved	Historic usage was toruxserver. De-Assigned on 2018-04-19
5153	udp	(reserved)	Reserved
5154	tcp udp	bzflag	BZFlag game server
5155	tcp udp	asctrl-agent	Oracle asControl Agent
5156	tcp	rugameonline	Russian Online Game
5156	udp	(reserved)	Reserved
5157	tcp	mediat	Mediat Remote Object Exchange
5157	udp	(reserved)	Reserved
5158-5160		(unassigned)	Unassigned
5161	tcp	snmpssh	SNMP over SSH Transport Model
5161	udp	(reserved)	Reserved
5162	tcp	snmpssh-trap	SNMP Notification over SSH Transport Model	Known Unauthorized Use on port 5162
5162	udp	(reserved)	Reserved	Known Unauthorized Use on port 5162
5163	tcp	sbackup	Shadow Backup
5163	udp	(reserved)	Reserved
5164	tcp	vpa	Virtual Protocol Adapter
5164	udp	vpa-disc	Virtual Protocol Adapter Discovery
5165	tcp udp	ife-icorp	ife_1corp IANA assigned this well-formed service name as a replacement for "ife_icorp".
5165	tcp udp	ife_icorp	ife_1corp
5166	tcp udp	winpcs	WinPCS Service Connection
5167	tcp udp	scte104	SCTE104 Connection
5168	tcp udp	scte30	SCTE30 Connection
5169-5171		(unassigned)	Unassigned
5172	tcp	pcoip-mgmt	PC over IP Endpoint Management
5172	udp	(reserved)	Reserved
5173-5189		(unassigned)	Unassigned
5190	tcp udp	aol	America-Online
5191	tcp udp	aol-1	AmericaOnline1
5192	tcp udp	aol-2	AmericaOnline2
5193	tcp udp	aol-3	AmericaOnline3
5194	tcp	cpscomm	CipherPoint Config Service
5194	udp	(reserved)	Reserved
5195	tcp	ampl-lic	The protocol is used by a license server and client programs to control use of program licenses that float to networked machines
5195	udp	(reserved)	Reserved
5196	tcp	ampl-tableproxy	The protocol is used by two programs that exchange "table" data used in the AMPL modeling language
5196	udp	(reserved)	Reserved
5197	tcp	tunstall-lwp	Tunstall Lone worker device interface
5197	udp	(reserved)	Reserved
5198-5199		(unassigned)	Unassigned
5200	tcp udp	targus-getdata	TARGUS GetData
5201	tcp udp	targus-getdata1	TARGUS GetData 1
5202	tcp udp	targus-getdata2	TARGUS GetData 2
5203	tcp udp	targus-getdata3	TARGUS GetData 3
5204-5208		(unassigned)	Unassigned
5209	tcp	nomad	Nomad Device Video Transfer
5209	udp	(reserved)	Reserved
5210-5214		(unassigned)	Unassigned
5215	tcp sctp	noteza	NOTEZA Data Safety Service
5215	udp	(reserved)	Reserved
5216-5220		(unassigned)	Unassigned
5221	tcp	3exmp	3eTI Extensible Management Protocol for OAMP
5221	udp	(reserved)	Reserved
5222	tcp	xmpp-client	XMPP Client Connection
5222	udp	(reserved)	Reserved
5223	tcp udp	hpvirtgrp	HP Virtual Machine Group Management
5224	tcp udp	hpvirtctrl	HP Virtual Machine Console Operations
5225	tcp udp	hp-server	HP Server
5226	tcp udp	hp-status	HP Status
5227	tcp udp	perfd	HP System Performance Metric Service
5228	tcp	hpvroom	HP Virtual Room Service
5228	udp	(reserved)	Reserved
5229	tcp	jaxflow	Netflow/IPFIX/sFlow Collector and Forwarder Management
5229	udp	(reserved)	Reserved
5230	tcp	jaxflow-data	JaxMP RealFlow application and protocol data
5230	udp	(reserved)	Reserved
5231	tcp	crusecontrol	Remote Control of Scan Software for Cruse Scanners
5231	udp	(reserved)	Reserved
5232	tcp	csedaemon	Cruse Scanning System Service
5232	udp	(reserved)	Reserved
5233	tcp	enfs	Etinnae Network File Service
5233	udp	(reserved)	Reserved
5234	tcp udp	eenet	EEnet communications
5235	tcp udp	galaxy-network	Galaxy Network Service
5236	tcp udp	padl2sim
5237	tcp udp	mnet-discovery	m-net discovery
5238-5241		(unassigned)	Unassigned
5242	tcp	attune	ATTUne API
5242	udp	(reserved)	Reserved
5243	tcp	xycstatus	xyClient Status API and rendevous point
5243	udp	(reserved)	Reserved
5244		(unassigned)	Unassigned
5245	tcp	downtools	DownTools Control Protocol
5245	udp	downtools-disc	DownTools Discovery Protocol
5246	tcp	(reserved)	Reserved
5246	udp	capwap-control	CAPWAP Control Protocol
5247	tcp	(reserved)	Reserved
5247	udp	capwap-data	CAPWAP Data Protocol
5248	tcp udp	caacws	CA Access Control Web Service
5249	tcp udp	caaclang2	CA AC Lang Service
5250	tcp udp	soagateway	soaGateway
5251	tcp udp	caevms	CA eTrust VM Service
5252	tcp udp	movaz-ssc	Movaz SSC
5253	tcp	kpdp	Kohler Power Device Protocol
5253	udp	(reserved)	Reserved
5254	tcp	logcabin	LogCabin storage service
5254	udp	(reserved)	Reserved
5255-5263		(unassigned)	Unassigned
5264	tcp udp	3com-njack-1	3Com Network Jack Port 1
5265	tcp udp	3com-njack-2	3Com Network Jack Port 2
5266-5268		(unassigned)	Unassigned
5269	tcp	xmpp-server	XMPP Server Connection
5269	udp	(reserved)	Reserved
5270	tcp udp	cartographerxmp	Cartographer XMP
5271	tcp	cuelink	StageSoft CueLink messaging
5271	udp	cuelink-disc	StageSoft CueLink discovery
5272	tcp udp	pk	PK
5273-5279		(unassigned)	Unassigned
5280	tcp	xmpp-bosh	Bidirectional-streams Over Synchronous HTTP (BOSH)
5280	udp	(reserved)	Reserved
5281	tcp	undo-lm	Undo License Manager
5281	udp	(reserved)	Reserved
5282	tcp udp	transmit-port	Marimba Transmitter Port
5283-5297		(unassigned)	Unassigned
5298	tcp udp	presence	XMPP Link-Local Messaging
5299	tcp udp	nlg-data	NLG Data Service
5300	tcp udp	hacl-hb	HA cluster heartbeat
5301	tcp udp	hacl-gs	HA cluster general services
5302	tcp udp	hacl-cfg	HA cluster configuration
5303	tcp udp	hacl-probe	HA cluster probing
5304	tcp udp	hacl-local	HA Cluster Commands
5305	tcp udp	hacl-test	HA Cluster Test
5306	tcp udp	sun-mc-grp	Sun MC Group
5307	tcp udp	sco-aip	SCO AIP
5308	tcp udp	cfengine	CFengine
5309	tcp udp	jprinter	J Printer
5310	tcp udp	outlaws	Outlaws
5311		(unassigned)	Unassigned
5312	tcp udp	permabit-cs	Permabit Client-Server
5313	tcp udp	rrdp	Real-time & Reliable Data
5314	tcp udp	opalis-rbt-ipc	opalis-rbt-ipc
5315	tcp udp	hacl-poll	HA Cluster UDP Polling
5316	tcp	hpbladems	HPBladeSystem Monitor Service
5316	udp	(unassigned)	Unassigned
5317	tcp	hpdevms	HP Device Monitor Service
5317	udp	(reserved)	Reserved
5318	tcp	pkix-cmc	PKIX Certificate Management using CMS (CMC)
5318	udp	(reserved)	Reserved
5319		(unassigned)	Unassigned
5320	tcp	bsfserver-zn	Webservices-based Zn interface of BSF
5320	udp	(reserved)	Reserved
5321	tcp	bsfsvr-zn-ssl	Webservices-based Zn interface of BSF over SSL
5321	udp	(reserved)	Reserved
5322-5342		(unassigned)	Unassigned
5343	tcp udp	kfserver	Sculptor Database Server
5344	tcp udp	xkotodrcp	xkoto DRCP
5345-5348		(unassigned)	Unassigned
5349	tcp udp	stuns	Session Traversal Utilities for NAT (STUN) port; udp: STUN over DTLS
5349	tcp udp	turns	TURN over TLS; udp: TURN over DTLS
5349	tcp udp	stun-behaviors	STUN Behavior Discovery over TLS; udp: Reserved for a future enhancement of STUN-BEHAVIOR
5350	tcp	(reserved)	Reserved
5350	udp	pcp-multicast	Port Control Protocol Multicast
5351	tcp	(reserved)	Reserved
5351	udp	pcp	Port Control Protocol
5352	tcp udp	dns-llq	DNS Long-Lived Queries
5353	tcp udp	mdns	Multicast DNS
5354	tcp udp	mdnsresponder	Multicast DNS Responder IPC
5355	tcp udp	llmnr	LLMNR
5356	tcp udp	ms-smlbiz	Microsoft Small Business
5357	tcp udp	wsdapi	Web Services for Devices
5358	tcp udp	wsdapi-s	WS for Devices Secured
5359	tcp udp	ms-alerter	Microsoft Alerter
5360	tcp udp	ms-sideshow	Protocol for Windows SideShow
5361	tcp udp	ms-s-sideshow	Secure Protocol for Windows SideShow
5362	tcp udp	serverwsd2	Microsoft Windows Server WSD2 Service
5363	tcp udp	net-projection	Windows Network Projection
5364	udp	kdnet	Microsoft Kernel Debugger
5364	tcp	(reserved)	Reserved
5365-5396		(unassigned)	Unassigned
5397	tcp udp	stresstester	StressTester(tm) Injector
5398	tcp udp	elektron-admin	Elektron Administration
5399	tcp udp	securitychase	SecurityChase
5400	tcp udp	excerpt	Excerpt Search
5401	tcp udp	excerpts	Excerpt Search Secure
5402	tcp udp	mftp	OmniCast MFTP
5403	tcp udp	hpoms-ci-lstn	HPOMS-CI-LSTN
5404	tcp udp	hpoms-dps-lstn	HPOMS-DPS-LSTN
5405	tcp udp	netsupport	NetSupport
5406	tcp udp	systemics-sox	Systemics Sox
5407	tcp udp	foresyte-clear	Foresyte-Clear
5408	tcp udp	foresyte-sec	Foresyte-Sec
5409	tcp udp	salient-dtasrv	Salient Data Server
5410	tcp udp	salient-usrmgr	Salient User Manager
5411	tcp udp	actnet	ActNet
5412	tcp udp	continuus	Continuus
5413	tcp udp	wwiotalk	WWIOTALK
5414	tcp udp	statusd	StatusD
5415	tcp udp	ns-server	NS Server
5416	tcp udp	sns-gateway	SNS Gateway
5417	tcp udp	sns-agent	SNS Agent
5418	tcp udp	mcntp	MCNTP
5419	tcp udp	dj-ice	DJ-ICE
5420	tcp udp	cylink-c	Cylink-C
5421	tcp udp	netsupport2	Net Support 2
5422	tcp udp	salient-mux	Salient MUX
5423	tcp udp	virtualuser	VIRTUALUSER
5424	tcp udp	beyond-remote	Beyond Remote
5425	tcp udp	br-channel	Beyond Remote Command Channel
5426	tcp udp	devbasic	DEVBASIC
5427	tcp udp	sco-peer-tta	SCO-PEER-TTA
5428	tcp udp	telaconsole	TELACONSOLE
5429	tcp udp	base	Billing and Accounting System Exchange
5430	tcp udp	radec-corp	RADEC CORP
5431	tcp udp	park-agent	PARK AGENT
5432	tcp udp	postgresql	PostgreSQL Database
5433	tcp udp	pyrrho	Pyrrho DBMS
5434	tcp udp	sgi-arrayd	SGI Array Services Daemon
5435	tcp udp	sceanics	SCEANICS situation and action notification
5436	tcp	(reserved)	Reserved
5436	udp	pmip6-cntl	pmip6-cntl
5437	tcp	(reserved)	Reserved
5437	udp	pmip6-data	pmip6-data
5438-5442		(unassigned)	Unassigned
5443	tcp udp	spss	Pearson HTTPS
5444		(unassigned)	Unassigned	Known UNAUTHORIZED USE: Port 5444
5445	tcp sctp	smbdirect	Server Message Block over Remote Direct Memory Access
5445	udp	(reserved)	Reserved
5446-5449		(unassigned)	Unassigned
5450	tcp	tiepie	TiePie engineering data acquisition
5450	udp	tiepie-disc	TiePie engineering data acquisition (discovery)
5451-5452		(unassigned)	Unassigned
5453	tcp udp	surebox	SureBox
5454	tcp udp	apc-5454	APC 5454
5455	tcp udp	apc-5455	APC 5455
5456	tcp udp	apc-5456	APC 5456
5457-5460		(unassigned)	Unassigned
5461	tcp udp	silkmeter	SILKMETER
5462	tcp udp	ttl-publisher	TTL Publisher
5463	tcp udp	ttlpriceproxy	TTL Price Proxy
5464	tcp udp	quailnet	Quail Networks Object Broker
5465	tcp udp	netops-broker	NETOPS-BROKER
5466-5469		(unassigned)	Unassigned
5470	tcp	apsolab-col	The Apsolab company's data collection protocol (native api)
5470	udp	(reserved)	Reserved
5471	tcp	apsolab-cols	The Apsolab company's secure data collection protocol (native api)
5471	udp	(reserved)	Reserved
5472	tcp	apsolab-tag	The Apsolab company's dynamic tag protocol
5472	udp	(reserved)	Reserved
5473	tcp	apsolab-tags	The Apsolab company's secure dynamic tag protocol
5473	udp	(reserved)	Reserved
5474	udp	apsolab-rpc	The Apsolab company's status query protocol
5474	tcp	(reserved)	Reserved
5475	tcp	apsolab-data	The Apsolab company's data retrieval protocol
5475	udp	(reserved)	Reserved
5476-5499		(unassigned)	Unassigned
5500	tcp udp	fcp-addr-srvr1	fcp-addr-srvr1
5501	tcp udp	fcp-addr-srvr2	fcp-addr-srvr2
5502	tcp udp	fcp-srvr-inst1	fcp-srvr-inst1
5503	tcp udp	fcp-srvr-inst2	fcp-srvr-inst2
5504	tcp udp	fcp-cics-gw1	fcp-cics-gw1
5505	tcp udp	checkoutdb	Checkout Database
5506	tcp udp	amc	Amcom Mobile Connect
5507	tcp	psl-management	PowerSysLab Electrical Management
5507	udp	(reserved)	Reserved
5508-5539		(unassigned)	Unassigned
5540	tcp udp	matter	Matter Operational Discovery and Communi
5541-5542		(unassigned)	Unassigned
5543	tcp	qftest-licserve	QF-Test License Server
5543	udp	(reserved)	Reserved
5544-5549		(unassigned)	Unassigned
5550	tcp	cbus	Model Railway control using the CBUS message protocol
5550	udp	(reserved)	Reserved
5551-5552		(unassigned)	Unassigned
5553	tcp udp	sgi-eventmond	SGI Eventmond Port
5554	tcp udp	sgi-esphttp	SGI ESP HTTP
5555	tcp udp	personal-agent	Personal Agent	Known UNAUTHORIZED USEs on port 5555
5556	tcp udp	freeciv	Freeciv gameplay	Known Unauthorized Use on port 5556
5557	tcp	farenet	Sandlab FARENET
5557	udp	(reserved)	Reserved
5558-5564		(unassigned)	Unassigned
5565	tcp	dp-bura	Data Protector BURA
5565	udp	(reserved)	Reserved
5566	tcp	westec-connect	Westec Connect
5566	udp	(reserved)	Reserved
5567	tcp udp	dof-dps-mc-sec	DOF Protocol Stack Multicast/Secure Transport
5568	tcp udp	sdt	Session Data Transport Multicast
5569	tcp	rdmnet-ctrl	PLASA E1.33, Remote Device Management (RDM) controller status notifications
5569	udp	rdmnet-device	PLASA E1.33, Remote Device Management (RDM) messages
5570-5572		(unassigned)	Unassigned	Known UNAUTHORIZED USE on Port 5570
5573	tcp udp	sdmmp	SAS Domain Management Messaging Protocol
5574	tcp	lsi-bobcat	SAS IO Forwarding
5574	udp	(reserved)	Reserved
5575	tcp	ora-oap	Oracle Access Protocol
5575	udp	(reserved)	Reserved
5576-5578		(unassigned)	Unassigned
5579	tcp	fdtracks	FleetDisplay Tracking Service
5579	udp	(reserved)	Reserved
5580	tcp udp	tmosms0	T-Mobile SMS Protocol Message 0
5581	tcp udp	tmosms1	T-Mobile SMS Protocol Message 1
5582	tcp udp	fac-restore	T-Mobile SMS Protocol Message 3
5583	tcp udp	tmo-icon-sync	T-Mobile SMS Protocol Message 2
5584	tcp udp	bis-web	BeInSync-Web
5585	tcp udp	bis-sync	BeInSync-sync
5586	tcp	att-mt-sms	Planning to send mobile terminated SMS to the specific port so that the SMS is not visible to the client
5586	udp	(reserved)	Reserved
5587-5596		(unassigned)	Unassigned
5597	tcp udp	ininmessaging	inin secure messaging
5598	tcp udp	mctfeed	MCT Market Data Feed
5599	tcp udp	esinstall	Enterprise Security Remote Install
5600	tcp udp	esmmanager	Enterprise Security Manager
5601	tcp udp	esmagent	Enterprise Security Agent
5602	tcp udp	a1-msc	A1-MSC
5603	tcp udp	a1-bs	A1-BS
5604	tcp udp	a3-sdunode	A3-SDUNode
5605	tcp udp	a4-sdunode	A4-SDUNode
5606-5617		(unassigned)	Unassigned
5618	tcp	efr	Fiscal Registering Protocol
5618	udp	(reserved)	Reserved
5619-5626		(unassigned)	Unassigned
5627	tcp udp	ninaf	Node Initiated Network Association Forma
5628	tcp udp	htrust	HTrust API
5629	tcp udp	symantec-sfdb	Symantec Storage Foundation for Database
5630	tcp udp	precise-comm	PreciseCommunication
5631	tcp udp	pcanywheredata	pcANYWHEREdata
5632	tcp udp	pcanywherestat	pcANYWHEREstat
5633	tcp udp	beorl	BE Operations Request Listener
5634	tcp udp	xprtld	SF Message Service
5635	tcp	sfmsso	SFM Authentication Subsystem
5635	udp	(reserved)	Reserved
5636	tcp	sfm-db-server	SFMdb - SFM DB server
5636	udp	(reserved)	Reserved
5637	tcp	cssc	Symantec CSSC
5637	udp	(reserved)	Reserved
5638	tcp	flcrs	Symantec Fingerprint Lookup and Container Reference Service
5638	udp	(reserved)	Reserved
5639	tcp	ics	Symantec Integrity Checking Service
5639	udp	(reserved)	Reserved
5640-5645		(unassigned)	Unassigned
5646	tcp	vfmobile	Ventureforth Mobile
5646	udp	(reserved)	Reserved
5647-5665		(unassigned)	Unassigned
5666	tcp	nrpe	Nagios Remote Plugin Executor
5666	udp	(reserved)	Reserved
5667-5669		(unassigned)	Unassigned
5670	tcp	filemq	ZeroMQ file publish-subscribe protocol
5670	udp	zre-disc	Local area discovery and messaging over ZeroMQ
5671	tcp udp	amqps	amqp protocol over TLS/SSL
5672	tcp udp sctp	amqp	AMQP
5673	tcp udp	jms	JACL Message Server
5674	tcp udp	hyperscsi-port	HyperSCSI Port
5675	tcp udp sctp	v5ua	V5UA application port
5676	tcp udp	raadmin	RA Administration
5677	tcp udp	questdb2-lnchr	Quest Central DB2 Launchr
5678	tcp udp	rrac	Remote Replication Agent Connection
5679	tcp udp	dccm	Direct Cable Connect Manager
5680	tcp udp	auriga-router	Auriga Router Service
5681	tcp udp	ncxcp	Net-coneX Control Protocol
5682	tcp	(reserved)	Reserved
5682	udp	brightcore	BrightCore control & data transfer exchange
5683	tcp udp	coap	Constrained Application Protocol (CoAP); udp: Constrained Application Protocol
5684	tcp udp	coaps	Constrained Application Protocol (CoAP); udp: DTLS-secured CoAP
5685-5686		(unassigned)	Unassigned
5687	udp	gog-multiplayer	GOG multiplayer game protocol
5687	tcp	(reserved)	Reserved
5688	tcp udp	ggz	GGZ Gaming Zone
5689	tcp udp	qmvideo	QM video network management protocol
5690-5692		(unassigned)	Unassigned
5693	tcp	rbsystem	Robert Bosch Data Transfer
5693	udp	(reserved)	Reserved
5694-5695		(unassigned)	Unassigned
5696	tcp	kmip	Key Management Interoperability Protocol
5696	udp	(reserved)	Reserved
5697-5699		(unassigned)	Unassigned
5700	tcp	supportassist	Dell SupportAssist data center management
5700	udp	(reserved)	Reserved
5701-5704		(unassigned)	Unassigned
5705	tcp	storageos	StorageOS REST API
5705	udp	(reserved)	Reserved
5706-5712		(unassigned)	Unassigned
5713	tcp udp	proshareaudio	proshare conf audio
5714	tcp udp	prosharevideo	proshare conf video
5715	tcp udp	prosharedata	proshare conf data
5716	tcp udp	prosharerequest	proshare conf request
5717	tcp udp	prosharenotify	proshare conf notify
5718	tcp udp	dpm	DPM Communication Server
5719	tcp udp	dpm-agent	DPM Agent Coordinator
5720	tcp udp	ms-licensing	MS-Licensing
5721	tcp udp	dtpt	Desktop Passthru Service
5722	tcp udp	msdfsr	Microsoft DFS Replication Service
5723	tcp udp	omhs	Operations Manager - Health Service
5724	tcp udp	omsdk	Operations Manager - SDK Service
5725	tcp	ms-ilm	Microsoft Identity Lifecycle Manager
5725	udp	(reserved)	Reserved
5726	tcp	ms-ilm-sts	Microsoft Lifecycle Manager Secure Token Service
5726	udp	(reserved)	Reserved
5727	tcp	asgenf	ASG Event Notification Framework
5727	udp	(reserved)	Reserved
5728	tcp	io-dist-data	Dist. I/O Comm. Service Data and Control
5728	udp	io-dist-group	Dist. I/O Comm. Service Group Membership
5729	tcp udp	openmail	Openmail User Agent Layer
5730	tcp udp	unieng	Steltor's calendar access
5731-5740		(unassigned)	Unassigned
5741	tcp udp	ida-discover1	IDA Discover Port 1
5742	tcp udp	ida-discover2	IDA Discover Port 2
5743	tcp udp	watchdoc-pod	Watchdoc NetPOD Protocol
5744	tcp udp	watchdoc	Watchdoc Server
5745	tcp udp	fcopy-server	fcopy-server
5746	tcp udp	fcopys-server	fcopys-server
5747	tcp udp	tunatic	Wildbits Tunatic
5748	tcp udp	tunalyzer	Wildbits Tunalyzer
5749		(unassigned)	Unassigned
5750	tcp udp	rscd	Bladelogic Agent Service
5751-5754		(unassigned)	Unassigned
5755	tcp udp	openmailg	OpenMail Desk Gateway server
5756		(unassigned)	Unassigned
5757	tcp udp	x500ms	OpenMail X.500 Directory Server
5758-5765		(unassigned)	Unassigned
5766	tcp udp	openmailns	OpenMail NewMail Server
5767	tcp udp	s-openmail	OpenMail Suer Agent Layer (Secure)
5768	tcp udp	openmailpxy	OpenMail CMTS Server
5769	tcp udp	spramsca	x509solutions Internal CA
5770	tcp udp	spramsd	x509solutions Secure Data
5771	tcp udp	netagent	NetAgent
5772-5776		(unassigned)	Unassigned
5777	tcp udp	starfield-io	Control commands and responses
5778-5779		(unassigned)	Unassigned
5780	tcp	vts-rpc	Visual Tag System RPC
5780	udp	(reserved)	Reserved
5781	tcp udp	3par-evts	3PAR Event Reporting Service
5782	tcp udp	3par-mgmt	3PAR Management Service
5783	tcp udp	3par-mgmt-ssl	3PAR Management Service with SSL
5784	tcp	(reserved)	Reserved
5784	udp	ibar	Cisco Interbox Application Redundancy
5785	tcp udp	3par-rcopy	3PAR Inform Remote Copy
5786	tcp	(reserved)	Reserved
5786	udp	cisco-redu	redundancy notification
5787	tcp	(reserved)	Reserved
5787	udp	waascluster	Cisco WAAS Cluster Protocol
5788-5792		(unassigned)	Unassigned
5793	tcp udp	xtreamx	XtreamX Supervised Peer message
5794	tcp	(reserved)	Reserved
5794	udp	spdp	Simple Peered Discovery Protocol
5795-5797		(unassigned)	Unassigned
5798	tcp	enlabel-dpl	Proprietary Website deployment service
5798	udp	(reserved)	Reserved
5799-5812		(unassigned)	Unassigned
5813	tcp udp	icmpd	ICMPD
5814	tcp udp	spt-automation	Support Automation
5815-5819		(unassigned)	Unassigned
5820	tcp	autopassdaemon	AutoPass licensing
5820	udp	(reserved)	Reserved
5821-5840		(unassigned)	Unassigned
5841	tcp	shiprush-d-ch	Z-firm ShipRush interface for web access and bidirectional data
5841	udp	(reserved)	Reserved
5842	tcp	reversion	Reversion Backup/Restore
5842	udp	(reserved)	Reserved
5843-5858		(unassigned)	Unassigned
5859	tcp udp	wherehoo	WHEREHOO
5860-5862		(unassigned)	Unassigned
5863	tcp udp	ppsuitemsg	PlanetPress Suite Messeng
5864-5867		(unassigned)	Unassigned
5868	tcp sctp	diameters	Diameter over TLS/TCP; sctp: Diameter over DTLS/SCTP
5868	udp	(reserved)	Reserved
5869-5882		(unassigned)	Unassigned
5883	tcp	jute	Javascript Unit Test Environment
5884-5899		(unassigned)	Unassigned
5900	tcp udp	rfb	Remote Framebuffer
5901-5902		(unassigned)	Unassigned
5903	tcp udp sctp	ff-ice	Flight & Flow Info for Collaborative Env
5904	tcp udp sctp	ag-swim	Air-Ground SWIM
5905	tcp udp sctp	asmgcs	Adv Surface Mvmnt and Guidance Cont Sys
5906	tcp udp sctp	rpas-c2	Remotely Piloted Vehicle C&C
5907	tcp udp sctp	dsd	Distress and Safety Data App
5908	tcp udp sctp	ipsma	IPS Management Application
5909	tcp udp sctp	agma	Air-ground media advisory
5910	tcp udp	ats-atn	Air Traffic Services applications using ATN
5910	sctp	cm	Context Management
5911	tcp udp	ats-acars	Air Traffic Services applications using ACARS
5911	sctp	cpdlc	Controller Pilot Data Link Communication
5912	tcp udp	ais-met	Aeronautical Information Service/Meteorological applications using ACARS
5912	sctp	fis	Flight Information Services
5913	tcp udp	aoc-acars	Airline operational communications applications using ACARS
5913	sctp	ads-c	Automatic Dependent Surveillance
5914	tcp udp sctp	ipsdtls	Security for Internet Protocol Suite
5915-5962		(unassigned)	Unassigned
5963	tcp udp	indy	Indy Application Server
5964-5967		(unassigned)	Unassigned
5968	tcp udp	mppolicy-v5	mppolicy-v5
5969	tcp udp	mppolicy-mgr	mppolicy-mgr
5970-5983		(unassigned)	Unassigned
5984	tcp udp	couchdb	CouchDB
5985	tcp udp	wsman	WBEM WS-Management HTTP
5986	tcp udp	wsmans	WBEM WS-Management HTTP over TLS/SSL
5987	tcp udp	wbem-rmi	WBEM RMI
5988	tcp udp	wbem-http	WBEM CIM-XML (HTTP)
5989	tcp udp	wbem-https	WBEM CIM-XML (HTTPS)
5990	tcp udp	wbem-exp-https	WBEM Export HTTPS
5991	tcp udp	nuxsl	NUXSL
5992	tcp udp	consul-insight	Consul InSight Security
5993	tcp	cim-rs	DMTF WBEM CIM REST
5993	udp	(reserved)	Reserved
5994	tcp	rms-agent	RMS Agent Listening Service
5994	udp	(reserved)	Reserved
5995-5998		(unassigned)	Unassigned
5999	tcp udp	cvsup	CVSup
6000-6063	tcp udp	x11	X Window System	Known Unauthorized Use on port 6003
6064	tcp udp	ndl-ahp-svc	NDL-AHP-SVC
6065	tcp udp	winpharaoh	WinPharaoh
6066	tcp udp	ewctsp	EWCTSP
6067		(unassigned)	Unassigned
6068	tcp	gsmp-ancp	GSMP/ANCP
6068	udp	(reserved)	Reserved
6069	tcp udp	trip	TRIP
6070	tcp udp	messageasap	Messageasap
6071	tcp udp	ssdtp	SSDTP
6072	tcp udp	diagnose-proc	DIAGNOSE-PROC
6073	tcp udp	directplay8	DirectPlay8
6074	tcp udp	max	Microsoft Max
6075	tcp	dpm-acm	Microsoft DPM Access Control Manager
6075	udp	(reserved)	Reserved
6076	tcp	msft-dpm-cert	Microsoft DPM WCF Certificates
6076	udp	(reserved)	Reserved
6077	tcp	iconstructsrv	iConstruct Server
6077	udp	(reserved)	Reserved
6078-6079		(unassigned)	Unassigned
6080	udp	gue	Generic UDP Encapsulation
6080	tcp	(reserved)	Reserved
6081	udp	geneve	Generic Network Virtualization Encapsulation (Geneve)
6081	tcp	(reserved)	Reserved
6082	tcp	(reserved)	Reserved
6082	udp	p25cai	APCO Project 25 Common Air Interface - UDP encapsulation
6083	tcp	(reserved)	Reserved
6083	udp	miami-bcast	telecomsoftware miami broadcast
6084	tcp	reload-config	Peer to Peer Infrastructure Configuration
6084	udp	(reserved)	Reserved
6085	tcp udp	konspire2b	konspire2b p2p network
6086	tcp udp	pdtp	PDTP P2P
6087	tcp udp	ldss	Local Download Sharing Service
6088	tcp	doglms	SuperDog License Manager
6088	udp	doglms-notify	SuperDog License Manager Notifier
6089-6098		(unassigned)	Unassigned
6099	tcp	raxa-mgmt	RAXA Management
6099	udp	(reserved)	Reserved
6100	tcp udp	synchronet-db	SynchroNet-db	Known Unauthorized Use on port 6100
6101	tcp udp	synchronet-rtc	SynchroNet-rtc
6102	tcp udp	synchronet-upd	SynchroNet-upd
6103	tcp udp	rets	RETS
6104	tcp udp	dbdb	DBDB
6105	tcp udp	primaserver	Prima Server
6106	tcp udp	mpsserver	MPS Server
6107	tcp udp	etc-control	ETC Control
6108	tcp udp	sercomm-scadmin	Sercomm-SCAdmin
6109	tcp udp	globecast-id	GLOBECAST-ID
6110	tcp udp	softcm	HP SoftBench CM
6111	tcp udp	spc	HP SoftBench Sub-Process Control
6112	tcp udp	dtspcd	Desk-Top Sub-Process Control Daemon
6113	tcp	dayliteserver	Daylite Server
6113	udp	(reserved)	Reserved
6114	tcp	wrspice	WRspice IPC Service
6114	udp	(reserved)	Reserved
6115	tcp	xic	Xic IPC Service
6115	udp	(reserved)	Reserved
6116	tcp	xtlserv	XicTools License Manager Service
6116	udp	(reserved)	Reserved
6117	tcp	daylitetouch	Daylite Touch Sync
6117	udp	(reserved)	Reserved
6118	udp	tipc	Transparent Inter Process Communication
6118	tcp	(reserved)	Reserved
6119-6120		(unassigned)	Unassigned
6121	tcp	spdy	SPDY for a faster web
6121	udp	(reserved)	Reserved
6122	tcp udp	bex-webadmin	Backup Express Web Server
6123	tcp udp	backup-express	Backup Express
6124	tcp udp	pnbs	Phlexible Network Backup Service
6125-6129		(unassigned)	Unassigned
6130	tcp	damewaremobgtwy	The DameWare Mobile Gateway Service
6130	udp	(reserved)	Reserved
6131-6132		(unassigned)	Unassigned
6133	tcp udp	nbt-wol	New Boundary Tech WOL
6134-6139		(unassigned)	Unassigned
6140	tcp udp	pulsonixnls	Pulsonix Network License Service
6141	tcp udp	meta-corp	Meta Corporation License Manager
6142	tcp udp	aspentec-lm	Aspen Technology License Manager
6143	tcp udp	watershed-lm	Watershed License Manager
6144	tcp udp	statsci1-lm	StatSci License Manager - 1
6145	tcp udp	statsci2-lm	StatSci License Manager - 2
6146	tcp udp	lonewolf-lm	Lone Wolf Systems License Manager
6147	tcp udp	montage-lm	Montage License Manager
6148	tcp udp	ricardo-lm	Ricardo North America License Manager
6149	tcp udp	tal-pod	tal-pod
6150-6158		(unassigned)	Unassigned
6159	tcp	efb-aci	EFB Application Control Interface
6159	udp	(reserved)	Reserved
6160	tcp	ecmp	Emerson Extensible Control and Management Protocol
6160	udp	ecmp-data	Emerson Extensible Control and Management Protocol Data
6161	tcp udp	patrol-ism	PATROL Internet Srv Mgr
6162	tcp udp	patrol-coll	PATROL Collector
6163	tcp udp	pscribe	Precision Scribe Cnx Port
6164-6199		(unassigned)	Unassigned
6200	tcp udp	lm-x	LM-X License Manager by X-Formation	Known Unauthorized Use on port 6200
6201	tcp	(reserved)	Reserved
6201	udp	thermo-calc	Management of service nodes in a processing grid for thermodynamic calculations
6202-6208		(unassigned)	Unassigned
6209	tcp udp	qmtps	QMTP over TLS
6210-6221		(unassigned)	Unassigned
6222	tcp udp	radmind	Radmind Access Protocol
6223-6240		(unassigned)	Unassigned
6241	tcp	jeol-nsdtp-1	JEOL Network Services Data Transport Protocol 1
6241	udp	jeol-nsddp-1	JEOL Network Services Dynamic Discovery Protocol 1
6242	tcp	jeol-nsdtp-2	JEOL Network Services Data Transport Protocol 2
6242	udp	jeol-nsddp-2	JEOL Network Services Dynamic Discovery Protocol 2
6243	tcp	jeol-nsdtp-3	JEOL Network Services Data Transport Protocol 3
6243	udp	jeol-nsddp-3	JEOL Network Services Dynamic Discovery Protocol 3
6244	tcp	jeol-nsdtp-4	JEOL Network Services Data Transport Protocol 4
6244	udp	jeol-nsddp-4	JEOL Network Services Dynamic Discovery Protocol 4
6245-6250		(unassigned)	Unassigned
6251	tcp udp	tl1-raw-ssl	TL1 Raw Over SSL/TLS
6252	tcp udp	tl1-ssh	TL1 over SSH
6253	tcp udp	crip	CRIP
6254-6266		(unassigned)	Unassigned
6267	tcp	gld	GridLAB-D User Interface
6267	udp	(reserved)	Reserved
6268	tcp udp	grid	Grid Authentication
6269	tcp udp	grid-alt	Grid Authentication Alt
6270-6299		(unassigned)	Unassigned
6300	tcp udp	bmc-grx	BMC GRX
6301	tcp udp	bmc-ctd-ldap	BMC CONTROL-D LDAP SERVER IANA assigned this well-formed service name as a replacement for "bmc_ctd_ldap".
6301	tcp udp	bmc_ctd_ldap	BMC CONTROL-D LDAP SERVER
6302-6305		(unassigned)	Unassigned
6306	tcp udp	ufmp	Unified Fabric Management Protocol
6307-6314		(unassigned)	Unassigned
6315	tcp	scup	Sensor Control Unit Protocol
6315	udp	scup-disc	Sensor Control Unit Protocol Discovery Protocol
6316	tcp udp	abb-escp	Ethernet Sensor Communications Protocol
6317	tcp	nav-data-cmd	Navtech Radar Sensor Data Command
6317	udp	nav-data	Navtech Radar Sensor Data
6318	tcp	iona-data	IONA Measurement and control data
6318	udp	(reserved)	Reserved
6319		(unassigned)	Unassigned
6320	tcp udp	repsvc	Double-Take Replication Service
6321	tcp udp	emp-server1	Empress Software Connectivity Server 1
6322	tcp udp	emp-server2	Empress Software Connectivity Server 2
6323		(unassigned)	Unassigned
6324	tcp	hrd-ncs	HR Device Network Configuration Service
6324	udp	hrd-ns-disc	HR Device Network service
6325	tcp	dt-mgmtsvc	Double-Take Management Service
6325	udp	(reserved)	Reserved
6326	tcp	dt-vra	Double-Take Virtual Recovery Assistant
6326	udp	(reserved)	Reserved
6327-6342		(unassigned)	Unassigned
6343	tcp udp	sflow	sFlow traffic monitoring
6344	tcp	streletz	Argus-Spectr security and fire-prevention systems service
6344	udp	(reserved)	Reserved
6345-6345		(unassigned)	Unassigned
6346	tcp udp	gnutella-svc	gnutella-svc
6347	tcp udp	gnutella-rtr	gnutella-rtr
6348-6349		(unassigned)	Unassigned
6350	tcp udp	adap	App Discovery and Access Protocol
6351-6354		(unassigned)	Unassigned
6355	tcp udp	pmcs	PMCS applications
6356-6359		(unassigned)	Unassigned
6360	tcp udp	metaedit-mu	MetaEdit+ Multi-User
6361-6362		(unassigned)	Unassigned
6363	udp	ndn	Named Data Networking
6363	tcp	(reserved)	Reserved
6364-6369		(unassigned)	Unassigned
6370	tcp udp	metaedit-se	MetaEdit+ Server Administration
6371-6378		(unassigned)	Unassigned
6379	tcp	redis	An advanced key-value cache and store
6379	udp	(reserved)	Reserved
6380-6381		(unassigned)	Unassigned
6382	tcp udp	metatude-mds	Metatude Dialogue Server
6383-6388		(unassigned)	Unassigned
6389	tcp udp	clariion-evr01	clariion-evr01
6390	tcp udp	metaedit-ws	MetaEdit+ WebService API
6391-6399		(unassigned)	Unassigned
6400		boe-cms	Business Objects CMS contact port
6401		boe-was	boe-was
6402		boe-eventsrv	boe-eventsrv
6403		boe-cachesvr	boe-cachesvr
6404		boe-filesvr	Business Objects Enterprise internal server
6405		boe-pagesvr	Business Objects Enterprise internal server
6406		boe-processsvr	Business Objects Enterprise internal server
6407		boe-resssvr1	Business Objects Enterprise internal server
6408		boe-resssvr2	Business Objects Enterprise internal server
6409		boe-resssvr3	Business Objects Enterprise internal server
6410		boe-resssvr4	Business Objects Enterprise internal server
6411-6416		(unassigned)	Unassigned
6417	tcp udp	faxcomservice	Faxcom Message Service
6418	tcp	syserverremote	SYserver remote commands
6418	udp	(reserved)	Reserved
6419	tcp	svdrp	Simple VDR Protocol
6419	udp	svdrp-disc	Simple VDR Protocol Discovery
6420	tcp udp	nim-vdrshell	NIM_VDRShell
6421	tcp udp	nim-wan	NIM_WAN
6422-6431		(unassigned)	Unassigned
6432	tcp	pgbouncer	PgBouncer
6432	udp	(reserved)	Reserved
6433-6439		(unassigned)	Unassigned
6440	tcp	heliosd	heliosd daemon
6440	udp	(reserved)	Reserved
6441		(unassigned)	Unassigned
6442	tcp	tarp	Transitory Application Request Protocol
6442	udp	(reserved)	Reserved
6443	tcp udp	sun-sr-https	Service Registry Default HTTPS Domain
6444	tcp udp	sge-qmaster	Grid Engine Qmaster Service IANA assigned this well-formed service name as a replacement for "sge_qmaster".
6444	tcp udp	sge_qmaster	Grid Engine Qmaster Service
6445	tcp udp	sge-execd	Grid Engine Execution Service IANA assigned this well-formed service name as a replacement for "sge_execd".
6445	tcp udp	sge_execd	Grid Engine Execution Service
6446	tcp udp	mysql-proxy	MySQL Proxy
6447-6454		(unassigned)	Unassigned
6455	tcp udp	skip-cert-recv	SKIP Certificate Receive
6456	tcp udp	skip-cert-send	SKIP Certificate Send
6457-6463		(unassigned)	Unassigned
6464	tcp udp	ieee11073-20701	Port assignment for medical device communication in accordance to IEEE 11073-20701
6465-6470		(unassigned)	Unassigned
6471	tcp udp	lvision-lm	LVision License Manager
6472-6479		(unassigned)	Unassigned
6480	tcp udp	sun-sr-http	Service Registry Default HTTP Domain
6481	tcp udp	servicetags	Service Tags
6482	tcp udp	ldoms-mgmt	Logical Domains Management Interface
6483	tcp udp	SunVTS-RMI	SunVTS RMI
6484	tcp udp	sun-sr-jms	Service Registry Default JMS Domain
6485	tcp udp	sun-sr-iiop	Service Registry Default IIOP Domain
6486	tcp udp	sun-sr-iiops	Service Registry Default IIOPS Domain
6487	tcp udp	sun-sr-iiop-aut	Service Registry Default IIOPAuth Domain
6488	tcp udp	sun-sr-jmx	Service Registry Default JMX Domain
6489	tcp udp	sun-sr-admin	Service Registry Default Admin Domain
6490-6499		(unassigned)	Unassigned
6500	tcp udp	boks	BoKS Master
6501	tcp udp	boks-servc	BoKS Servc IANA assigned this well-formed service name as a replacement for "boks_servc".	Known Unauthorized Use on port 6501
6501	tcp udp	boks_servc	BoKS Servc	Known Unauthorized Use on port 6501
6502	tcp udp	boks-servm	BoKS Servm IANA assigned this well-formed service name as a replacement for "boks_servm".
6502	tcp udp	boks_servm	BoKS Servm
6503	tcp udp	boks-clntd	BoKS Clntd IANA assigned this well-formed service name as a replacement for "boks_clntd".
6503	tcp udp	boks_clntd	BoKS Clntd
6504		(unassigned)	Unassigned
6505	tcp udp	badm-priv	BoKS Admin Private Port IANA assigned this well-formed service name as a replacement for "badm_priv".
6505	tcp udp	badm_priv	BoKS Admin Private Port
6506	tcp udp	badm-pub	BoKS Admin Public Port IANA assigned this well-formed service name as a replacement for "badm_pub".
6506	tcp udp	badm_pub	BoKS Admin Public Port
6507	tcp udp	bdir-priv	BoKS Dir Server, Private Port IANA assigned this well-formed service name as a replacement for "bdir_priv".
6507	tcp udp	bdir_priv	BoKS Dir Server, Private Port
6508	tcp udp	bdir-pub	BoKS Dir Server, Public Port IANA assigned this well-formed service name as a replacement for "bdir_pub".
6508	tcp udp	bdir_pub	BoKS Dir Server, Public Port
6509	tcp udp	mgcs-mfp-port	MGCS-MFP Port
6510	tcp udp	mcer-port	MCER Port
6511	tcp	(reserved)	Reserved
6511	udp	dccp-udp	Datagram Congestion Control Protocol Encapsulation for NAT Traversal
6512-6512		(unassigned)	Unassigned
6513	tcp	netconf-tls	NETCONF over TLS
6513	udp	(reserved)	Reserved
6514	tcp udp dccp	syslog-tls	Syslog over TLS; udp, dccp: syslog over DTLS
6515	tcp udp	elipse-rec	Elipse RPC Protocol
6516-6542		(unassigned)	Unassigned
6543	tcp udp	lds-distrib	lds_distrib
6544	tcp udp	lds-dump	LDS Dump Service
6545-6546		(unassigned)	Unassigned
6547	tcp udp	apc-6547	APC 6547
6548	tcp udp	apc-6548	APC 6548
6549	tcp udp	apc-6549	APC 6549
6550	tcp udp	fg-sysupdate	fg-sysupdate
6551	tcp udp	sum	Software Update Manager
6552-6555		(unassigned)	Unassigned
6556	tcp	checkmk-agent	Checkmk Monitoring Agent
6556	udp	(reserved)	Reserved
6557		(unassigned)	Unassigned
6558	tcp udp	xdsxdm
6559-6565		(unassigned)	Unassigned
6566	tcp udp	sane-port	SANE Control Port
6567		(reserved)	Reserved	This entry has been removed on 2011-08-26.
6568	tcp	canit-store	CanIt Storage Manager IANA assigned this well-formed service name as a replacement for "canit_store".
6568	tcp	canit_store	CanIt Storage Manager
6568	udp	rp-reputation	Roaring Penguin IP Address Reputation Collection
6569-6578		(unassigned)	Unassigned
6579	tcp udp	affiliate	Affiliate
6580	tcp udp	parsec-master	Parsec Masterserver
6581	tcp udp	parsec-peer	Parsec Peer-to-Peer
6582	tcp udp	parsec-game	Parsec Gameserver
6583	tcp udp	joaJewelSuite	JOA Jewel Suite
6584-6587		(unassigned)	Unassigned
6588		(unassigned)	Unassigned	Unofficial use of port 6588 by AnalogX and Microsoft
6589-6599		(unassigned)	Unassigned
6600	tcp	mshvlm	Microsoft Hyper-V Live Migration
6600	udp	(reserved)	Reserved
6601	tcp	mstmg-sstp	Microsoft Threat Management Gateway SSTP
6601	udp	(reserved)	Reserved
6602	tcp	wsscomfrmwk	Windows WSS Communication Framework
6602	udp	(reserved)	Reserved
6603-6618		(unassigned)	Unassigned
6619	tcp udp	odette-ftps	ODETTE-FTP over TLS/SSL
6620	tcp udp	kftp-data	Kerberos V5 FTP Data
6621	tcp udp	kftp	Kerberos V5 FTP Control
6622	tcp udp	mcftp	Multicast FTP
6623	tcp udp	ktelnet	Kerberos V5 Telnet
6624	tcp	datascaler-db	DataScaler database
6624	udp	(reserved)	Reserved
6625	tcp	datascaler-ctl	DataScaler control
6625	udp	(reserved)	Reserved
6626	tcp udp	wago-service	WAGO Service and Update
6627	tcp udp	nexgen	Allied Electronics NeXGen
6628	tcp udp	afesc-mc	AFE Stock Channel M/C
6629	tcp udp	nexgen-aux	Secondary, (non ANDI) multi-protocol multi-function interface to the Allied ANDI-based family of forecourt controllers
6630		(unassigned)	Unassigned
6631		(unassigned)	Unassigned
6632	tcp	mxodbc-connect	eGenix mxODBC Connect	Unauthorized Use Known on port 6632
6632	udp	(reserved)	Reserved
6633	tcp	(reserved)	Reserved
6633	udp	cisco-vpath-tun	Cisco vPath Services Overlay
6634	udp	mpls-pm	MPLS Performance Measurement out-of-band response
6634	tcp	(reserved)	Reserved
6635	tcp	(reserved)	Reserved
6635	udp	mpls-udp	Encapsulate MPLS packets in UDP tunnels.
6636	tcp	(reserved)	Reserved
6636	udp	mpls-udp-dtls	Encapsulate MPLS packets in UDP tunnels with DTLS.
6637-6639		(unassigned)	Unassigned
6640	tcp	ovsdb	Open vSwitch Database protocol
6640	udp	(reserved)	Reserved
6641-6652		(unassigned)	Unassigned
6653	tcp udp	openflow	OpenFlow
6654		(unassigned)	Unassigned
6655	tcp	pcs-sf-ui-man	PC SOFT - Software factory UI/manager
6655	udp	(reserved)	Reserved
6656	tcp	emgmsg	Emergency Message Control Service
6656	udp	(reserved)	Reserved
6657	tcp	(reserved)	Reserved
6657	udp	palcom-disc	PalCom Discovery
6658-6664		(unassigned)	Unassigned	Unauthorized Use Known on Port 6659
6665-6669	tcp	ircu	IRCU
6665-6669	udp	(reserved)	Reserved
6670	tcp udp	vocaltec-gold	Vocaltec Global Online Directory
6671	tcp udp	p4p-portal	P4P Portal Service
6672	tcp udp	vision-server	vision_server IANA assigned this well-formed service name as a replacement for "vision_server".
6672	tcp udp	vision_server	vision_server
6673	tcp udp	vision-elmd	vision_elmd IANA assigned this well-formed service name as a replacement for "vision_elmd".
6673	tcp udp	vision_elmd	vision_elmd
6674-6677		(unassigned)	Unassigned
6678	tcp	vfbp	Viscount Freedom Bridge Protocol
6678	udp	vfbp-disc	Viscount Freedom Bridge Discovery
6679	tcp udp	osaut	Osorno Automation
6680-6686		(unassigned)	Unassigned
6687	tcp	clever-ctrace	CleverView for cTrace Message Service
6687	udp	(reserved)	Reserved
6688	tcp	clever-tcpip	CleverView for TCP/IP Message Service
6688	udp	(reserved)	Reserved
6689	tcp udp	tsa	Tofino Security Appliance
6690	tcp	cleverdetect	CLEVERDetect Message Service
6690	udp	(reserved)	Reserved
6691-6695		(unassigned)	Unassigned
6696	tcp	(reserved)	Reserved
6696	udp	babel	Babel Routing Protocol
6697	tcp	ircs-u	Internet Relay Chat via TLS/SSL
6697	udp	(reserved)	Reserved
6698		(unassigned)	Unassigned
6699	tcp	(reserved)	Reserved
6699	udp	babel-dtls	Babel Routing Protocol over DTLS
6700		(unassigned)	Unassigned
6701	tcp udp	kti-icad-srvr	KTI/ICAD Nameserver
6701	sctp	(unassigned)	Unassigned
6702	tcp udp	e-design-net	e-Design network
6702	sctp	(unassigned)	Unassigned
6703	tcp udp	e-design-web	e-Design web
6704	tcp udp	(reserved)	Reserved
6704	sctp	frc-hp	ForCES HP (High Priority) channel
6705	tcp udp	(reserved)	Reserved
6705	sctp	frc-mp	ForCES MP (Medium Priority) channel
6706	tcp udp	(reserved)	Reserved
6706	sctp	frc-lp	ForCES LP (Low priority) channel
6707-6713		(unassigned)	Unassigned
6714	tcp udp	ibprotocol	Internet Backplane Protocol
6715	tcp udp	fibotrader-com	Fibotrader Communications
6716	tcp	princity-agent	Princity Agent
6716	udp	(reserved)	Reserved
6717-6766		(unassigned)	Unassigned
6767	tcp udp	bmc-perf-agent	BMC PERFORM AGENT
6768	tcp udp	bmc-perf-mgrd	BMC PERFORM MGRD
6769	tcp udp	adi-gxp-srvprt	ADInstruments GxP Server
6770	tcp udp	plysrv-http	PolyServe http
6771	tcp udp	plysrv-https	PolyServe https
6772-6776		(unassigned)	Unassigned
6777	tcp	ntz-tracker	netTsunami Tracker
6777	udp	(reserved)	Reserved
6778	tcp	ntz-p2p-storage	netTsunami p2p storage system
6778	udp	(reserved)	Reserved
6779-6783		(unassigned)	Unassigned
6784	tcp	(reserved)	Reserved
6784	udp	bfd-lag	Bidirectional Forwarding Detection (BFD) on Link Aggregation Group (LAG) Interfaces
6785	tcp udp	dgpf-exchg	DGPF Individual Exchange
6786	tcp udp	smc-jmx	Sun Java Web Console JMX
6787	tcp udp	smc-admin	Sun Web Console Admin
6788	tcp udp	smc-http	SMC-HTTP
6789	tcp	radg	GSS-API for the Oracle Remote Administration Daemon
6789	udp	(reserved)	Reserved
6790	tcp udp	hnmp	HNMP
6791	tcp udp	hnm	Halcyon Network Manager
6792-6800		(unassigned)	Unassigned
6801	tcp udp	acnet	ACNET Control System Protocol
6802-6816		(unassigned)	Unassigned
6817	tcp	pentbox-sim	PenTBox Secure IM Protocol
6817	udp	(reserved)	Reserved
6818-6830		(unassigned)	Unassigned
6831	tcp udp	ambit-lm	ambit-lm
6832-6840		(unassigned)	Unassigned
6841	tcp udp	netmo-default	Netmo Default
6842	tcp udp	netmo-http	Netmo HTTP
6843-6849		(unassigned)	Unassigned
6850	tcp udp	iccrushmore	ICCRUSHMORE
6851-6867		(unassigned)	Unassigned
6868	tcp	acctopus-cc	Acctopus Command Channel
6868	udp	acctopus-st	Acctopus Status
6869-6887		(unassigned)	Unassigned
6888	tcp udp	muse	MUSE
6889-6899		(unassigned)	Unassigned
6900	tcp	rtimeviewer	R*TIME Viewer Data Interface
6900	udp	(reserved)	Reserved
6901	tcp	jetstream	Novell Jetstream messaging protocol
6901	udp	(reserved)	Reserved
6902-6923		(unassigned)	Unassigned
6924	tcp udp	split-ping	Ping with RX/TX latency/loss split
6925-6934		(unassigned)	Unassigned
6935	tcp udp	ethoscan	EthoScan Service
6936	tcp udp	xsmsvc	XenSource Management Service
6937-6945		(unassigned)	Unassigned
6946	tcp udp	bioserver	Biometrics Server
6947-6950		(unassigned)	Unassigned
6951	tcp udp	otlp	OTLP
6952-6960		(unassigned)	Unassigned
6961	tcp udp	jmact3	JMACT3
6962	tcp udp	jmevt2	jmevt2
6963	tcp udp	swismgr1	swismgr1
6964	tcp udp	swismgr2	swismgr2
6965	tcp udp	swistrap	swistrap
6966	tcp udp	swispol	swispol
6967-6968		(unassigned)	Unassigned
6969	tcp udp	acmsoda	acmsoda
6970	tcp	conductor	Conductor test coordination protocol
6970	udp	(reserved)	Reserved
6970	sctp	conductor-mpx	conductor for multiplex
6971-6979		(unassigned)	Unassigned
6980	tcp	(reserved)	Reserved
6980	udp	qolyester	QoS-extended OLSR protocol
6981-6996		(unassigned)	Unassigned
6997	tcp udp	MobilitySrv	Mobility XE Protocol
6998	tcp udp	iatp-highpri	IATP-highPri
6999	tcp udp	iatp-normalpri	IATP-normalPri
7000	tcp udp	afs3-fileserver	file server itself
7001	tcp udp	afs3-callback	callbacks to cache managers	Known Unauthorized Use on port 7001
7002	tcp udp	afs3-prserver	users & groups database	Known Unauthorized Use on port 7002
7003	tcp udp	afs3-vlserver	volume location database
7004	tcp udp	afs3-kaserver	AFS/Kerberos authentication service
7005	tcp udp	afs3-volser	volume managment server	Known Unauthorized Use on port 7005
7006	tcp udp	afs3-errors	error interpretation service
7007	tcp udp	afs3-bos	basic overseer process
7008	tcp udp	afs3-update	server-to-server updater
7009	tcp udp	afs3-rmtsys	remote cache manager service
7010	tcp udp	ups-onlinet	onlinet uninterruptable power supplies
7011	tcp udp	talon-disc	Talon Discovery Port	Known Unauthorized Use on 7011
7012	tcp udp	talon-engine	Talon Engine	Known Unauthorized Use on 7011
7013	tcp udp	microtalon-dis	Microtalon Discovery
7014	tcp udp	microtalon-com	Microtalon Communications
7015	tcp udp	talon-webserver	Talon Webserver
7016	tcp udp	spg	SPG Controls Carrier
7017	tcp udp	grasp	GeneRic Autonomic Signaling Protocol
7018	tcp	fisa-svc	FISA Service
7018	udp	(reserved)	Reserved
7019	tcp	doceri-ctl	doceri drawing service control
7019	udp	doceri-view	doceri drawing service screen view
7020	tcp udp	dpserve	DP Serve
7021	tcp udp	dpserveadmin	DP Serve Admin
7022	tcp udp	ctdp	CT Discovery Protocol
7023	tcp udp	ct2nmcs	Comtech T2 NMCS
7024	tcp udp	vmsvc	Vormetric service
7025	tcp udp	vmsvc-2	Vormetric Service II
7026	tcp	loreji-panel	Loreji Webhosting Panel
7026	udp	(reserved)	Reserved
7027-7029		(unassigned)	Unassigned
7030	tcp udp	op-probe	ObjectPlanet probe
7031	tcp	iposplanet	IPOSPLANET retailing multi devices protocol
7031	udp	(reserved)	Reserved
7032-7039		(unassigned)	Unassigned
7040	tcp	(reserved)	Reserved
7040	udp	quest-disc	Quest application level network service discovery
7041-7069		(unassigned)	Unassigned
7070	tcp udp	arcp	ARCP
7071	tcp udp	iwg1	IWGADTS Aircraft Housekeeping Message
7072	tcp	iba-cfg	iba Device Configuration Protocol
7072	udp	iba-cfg-disc	iba Device Configuration Protocol
7073	tcp	martalk	MarTalk protocol
7073	udp	(reserved)	Reserved
7074-7079		(unassigned)	Unassigned
7080	tcp udp	empowerid	EmpowerID Communication
7081-7087		(unassigned)	Unassigned
7088	tcp	(reserved)	Reserved
7088	udp	zixi-transport	Zixi live video transport protocol
7089-7094		(unassigned)	Unassigned
7095	udp	jdp-disc	Java Discovery Protocol
7095	tcp	(reserved)	Reserved
7096-7098		(unassigned)	Unassigned
7099	tcp udp	lazy-ptop	lazy-ptop
7100	tcp udp	font-service	X Font Service
7101	tcp udp	elcn	Embedded Light Control Network
7102-7106		(unassigned)	Unassigned
7107	tcp	(reserved)	Reserved
7107	udp	aes-x170	AES-X170
7108-7116		(unassigned)	Unassigned
7117	tcp	rothaga	Encrypted chat and file transfer service
7117	udp	(reserved)	Reserved
7118-7120		(unassigned)	Unassigned
7121	tcp udp	virprot-lm	Virtual Prototypes License Manager
7122		(unassigned)	Unassigned
7123	tcp	snif	End-to-end TLS Relay Control Connection
7123	udp	(reserved)	Reserved
7124-7127		(unassigned)	Unassigned
7128	tcp udp	scenidm	intelligent data manager
7129	tcp udp	scenccs	Catalog Content Search
7130-7160		(unassigned)	Unassigned
7161	tcp udp	cabsm-comm	CA BSM Comm
7162	tcp udp	caistoragemgr	CA Storage Manager
7163	tcp udp	cacsambroker	CA Connection Broker
7164	tcp udp	fsr	File System Repository Agent
7165	tcp udp	doc-server	Document WCF Server
7166	tcp udp	aruba-server	Aruba eDiscovery Server
7167	tcp	casrmagent	CA SRM Agent
7167	udp	(reserved)	Reserved
7168	tcp	cnckadserver	cncKadServer DB & Inventory Services
7168	udp	(reserved)	Reserved
7169	tcp udp	ccag-pib	Consequor Consulting Process Integration Bridge
7170	tcp udp	nsrp	Adaptive Name/Service Resolution
7171	tcp udp	drm-production	Discovery and Retention Mgt Production
7172	tcp	metalbend	Port used for MetalBend programmable interface
7172	udp	(reserved)	Reserved
7173	tcp	zsecure	zSecure Server
7173	udp	(reserved)	Reserved
7174	tcp udp	clutild	Clutild
7175-7180		(unassigned)	Unassigned
7181	udp	janus-disc	Janus Guidewire Enterprise Discovery Service Bus
7181	tcp	(reserved)	Reserved
7182-7199		(unassigned)	Unassigned
7200	tcp udp	fodms	FODMS FLIP
7201	tcp udp	dlip	DLIP
7202	tcp	pon-ictp	Inter-Channel Termination Protocol (ICTP) for multi-wavelength PON (Passive Optical Network) systems
7202	udp	(reserved)	Reserved
7203-7214		(unassigned)	Unassigned
7215	tcp	PS-Server	Communication ports for PaperStream Server services
7215	udp	(reserved)	Reserved
7216	tcp	PS-Capture-Pro	PaperStream Capture Professional
7216	udp	(reserved)	Reserved
7217-7226		(unassigned)	Unassigned
7227	tcp udp	ramp	Registry A & M Protocol
7228	tcp	citrixupp	Citrix Universal Printing Port
7228	udp	(reserved)	Reserved
7229	tcp	citrixuppg	Citrix UPP Gateway
7229	udp	(reserved)	Reserved
7230-7233		(unassigned)	Unassigned
7234	tcp	asa-gateways	Traffic forwarding for Okta cloud infra
7234	udp	(reserved)	Reserved
7235	udp	aspcoordination	ASP Coordination Protocol
7235	tcp	(reserved)	Reserved
7236	tcp	display	Wi-Fi Alliance Wi-Fi Display Protocol
7236	udp	(reserved)	Reserved
7237	tcp	pads	PADS (Public Area Display System) Server
7237	udp	(reserved)	Reserved
7238-7243		(unassigned)	Unassigned
7244	tcp	frc-hicp	FrontRow Calypso Human Interface Control Protocol
7244	udp	frc-hicp-disc	FrontRow Calypso Human Interface Control Protocol
7245-7261		(unassigned)	Unassigned
7262	tcp udp	cnap	Calypso Network Access Protocol
7263-7271		(unassigned)	Unassigned
7272	tcp udp	watchme-7272	WatchMe Monitoring 7272
7273	tcp udp	oma-rlp	OMA Roaming Location
7274	tcp udp	oma-rlp-s	OMA Roaming Location SEC
7275	tcp udp	oma-ulp	OMA UserPlane Location
7276	tcp udp	oma-ilp	OMA Internal Location Protocol
7277	tcp udp	oma-ilp-s	OMA Internal Location Secure Protocol
7278	tcp udp	oma-dcdocbs	OMA Dynamic Content Delivery over CBS
7279	tcp udp	ctxlic	Citrix Licensing
7280	tcp udp	itactionserver1	ITACTIONSERVER 1
7281	tcp udp	itactionserver2	ITACTIONSERVER 2
7282	tcp	mzca-action	eventACTION/ussACTION (MZCA) server
7282	udp	mzca-alert	eventACTION/ussACTION (MZCA) alert
7283	tcp	genstat	General Statistics Rendezvous Protocol
7283	udp	(reserved)	Reserved
7284-7299		(unassigned)	Unassigned
7300-7359		swx	The Swiss Exchange
7360-7364		(unassigned)	Unassigned
7365	tcp udp	lcm-server	LifeKeeper Communications
7366-7390		(unassigned)	Unassigned
7391	tcp udp	mindfilesys	mind-file system server
7392	tcp udp	mrssrendezvous	mrss-rendezvous server
7393	tcp udp	nfoldman	nFoldMan Remote Publish
7394	tcp udp	fse	File system export of backup images
7395	tcp udp	winqedit	winqedit
7396		(unassigned)	Unassigned
7397	tcp udp	hexarc	Hexarc Command Language
7398-7399		(unassigned)	Unassigned
7400	tcp udp	rtps-discovery	RTPS Discovery
7401	tcp udp	rtps-dd-ut	RTPS Data-Distribution User-Traffic
7402	tcp udp	rtps-dd-mt	RTPS Data-Distribution Meta-Traffic
7403-7409		(unassigned)	Unassigned
7410	tcp udp	ionixnetmon	Ionix Network Monitor
7411	tcp udp	daqstream	Streaming of measurement data
7412-7419		(unassigned)	Unassigned
7420	tcp	(reserved)	Reserved
7420	udp	ipluminary	Multichannel real-time lighting control
7421	tcp udp	mtportmon	Matisse Port Monitor
7422-7425		(unassigned)	Unassigned
7426	tcp udp	pmdmgr	OpenView DM Postmaster Manager
7427	tcp udp	oveadmgr	OpenView DM Event Agent Manager
7428	tcp udp	ovladmgr	OpenView DM Log Agent Manager
7429	tcp udp	opi-sock	OpenView DM rqt communication
7430	tcp udp	xmpv7	OpenView DM xmpv7 api pipe
7431	tcp udp	pmd	OpenView DM ovc/xmpv3 api pipe
7432-7436		(unassigned)	Unassigned
7437	tcp udp	faximum	Faximum
7438-7442		(unassigned)	Unassigned
7443	tcp udp	oracleas-https	Oracle Application Server HTTPS
7444-7470		(unassigned)	Unassigned
7471	tcp	sttunnel	Stateless Transport Tunneling Protocol
7471	udp	(reserved)	Reserved
7472		(unassigned)	Unassigned
7473	tcp udp	rise	Rise: The Vieneo Province
7474	tcp	neo4j	Neo4j Graph Database
7474	udp	(reserved)	Reserved
7475-7477		(unassigned)	Unassigned
7478	tcp	openit	IT Asset Management
7478	udp	(reserved)	Reserved
7479-7490		(unassigned)	Unassigned
7491	tcp udp	telops-lmd	telops-lmd
7492-7499		(unassigned)	Unassigned	Known Unauthorized Use on port 7499
7500	tcp udp	silhouette	Silhouette User
7501	tcp udp	ovbus	HP OpenView Bus Daemon	Known Unauthorized Use on port 7501
7502-7507		(unassigned)	Unassigned
7508	tcp	adcp	Automation Device Configuration Protocol
7508	udp	(reserved)	Reserved
7509	tcp	acplt	ACPLT - process automation service
7509	udp	(reserved)	Reserved
7510	tcp udp	ovhpas	HP OpenView Application Server
7511	tcp udp	pafec-lm	pafec-lm
7512-7541		(unassigned)	Unassigned
7542	tcp udp	saratoga	Saratoga Transfer Protocol
7543	tcp udp	atul	atul server
7544	tcp udp	nta-ds	FlowAnalyzer DisplayServer
7545	tcp udp	nta-us	FlowAnalyzer UtilityServer
7546	tcp udp	cfs	Cisco Fabric service
7547	tcp udp	cwmp	Broadband Forum CWMP
7548	tcp udp	tidp	Threat Information Distribution Protocol
7549	tcp udp	nls-tl	Network Layer Signaling Transport Layer
7550	tcp	(reserved)	Reserved
7550	udp	cloudsignaling	Cloud Signaling Service
7551	tcp	controlone-con	ControlONE Console signaling
7551	udp	(reserved)	Reserved
7552-7559		(unassigned)	Unassigned
7560	tcp udp	sncp	Sniffer Command Protocol
7561-7562		(unassigned)	Unassigned
7563	tcp	cfw	Control Framework
7563	udp	(reserved)	Reserved
7564-7565		(unassigned)	Unassigned
7566	tcp udp	vsi-omega	VSI Omega
7567-7568		(unassigned)	Unassigned
7569	tcp	dell-eql-asm	Dell EqualLogic Host Group Management
7569	udp	(reserved)	Reserved
7570	tcp udp	aries-kfinder	Aries Kfinder
7571-7573		(unassigned)	Unassigned
7574	tcp	coherence	Oracle Coherence Cluster Service
7574	udp	coherence-disc	Oracle Coherence Cluster discovery service
7575	tcp	wtmi-panel	Main access port for WTMI Panel
7575	udp	(reserved)	Reserved
7576-7587		(unassigned)	Unassigned
7588	tcp udp	sun-lm	Sun License Manager
7589-7605		(unassigned)	Unassigned
7606	tcp udp	mipi-debug	MIPI Alliance Debug
7607-7623		(unassigned)	Unassigned
7624	tcp udp	indi	Instrument Neutral Distributed Interface
7625		(unassigned)	Unassigned
7626	tcp sctp	simco	SImple Middlebox COnfiguration (SIMCO) Server; sctp: SImple Middlebox COnfiguration (SIMCO)
7626	udp	(unassigned)	De-registered
7627	tcp udp	soap-http	SOAP Service Port
7628	tcp udp	zen-pawn	Primary Agent Work Notification
7629	tcp udp	xdas	OpenXDAS Wire Protocol
7630	tcp	hawk	HA Web Konsole
7630	udp	(reserved)	Reserved
7631	tcp	tesla-sys-msg	TESLA System Messaging
7631	udp	(reserved)	Reserved
7632		(unassigned)	Unassigned
7633	tcp udp	pmdfmgt	PMDF Management
7634-7647		(unassigned)	Unassigned
7648	tcp udp	cuseeme	bonjour-cuseeme
7649-7662		(unassigned)	Unassigned
7663	tcp udp	rome	Proprietary immutable distributed data storage
7664-7667		(unassigned)	Unassigned
7668	tcp	authoritygate	AuthorityGate Secure API communication for Orchestrated task sequencing
7668	udp	(reserved)	Reserved
7669-7671		(unassigned)	Unassigned
7672	tcp	imqstomp	iMQ STOMP Server
7672	udp	(reserved)	Reserved
7673	tcp	imqstomps	iMQ STOMP Server over SSL
7673	udp	(reserved)	Reserved
7674	tcp udp	imqtunnels	iMQ SSL tunnel
7675	tcp udp	imqtunnel	iMQ Tunnel
7676	tcp udp	imqbrokerd	iMQ Broker Rendezvous
7677	tcp udp	sun-user-https	Sun App Server - HTTPS
7678-7679		(unassigned)	Unassigned
7680	tcp udp	ms-do	Microsoft Delivery Optimization Peer-to-Peer
7681-7682		(unassigned)	Unassigned
7683	tcp	dmt	Cleondris DMT
7683	udp	(reserved)	Reserved
7684-7686		(unassigned)	Unassigned
7687	tcp	bolt	Bolt database connection
7687	udp	(reserved)	Reserved
7688		(unassigned)	Unassigned
7689	tcp udp	collaber	Collaber Network Service
7690	tcp	sovd	Service-Oriented Vehicle Diagnostics
7690	udp	(reserved)	Reserved
7691-7696		(unassigned)	Unassigned
7697	tcp udp	klio	KLIO communications
7698-7699		(unassigned)	Unassigned
7700	tcp	em7-secom	EM7 Secure Communications
7700	udp	(reserved)	Reserved
7701	tcp udp	(reserved)	Reserved
7701	sctp	nfapi	SCF nFAPI defining MAC/PHY split
7702-7706		(unassigned)	Unassigned
7707	tcp udp	sync-em7	EM7 Dynamic Updates
7708	tcp udp	scinet	scientia.net
7709-7719		(unassigned)	Unassigned
7720	tcp udp	medimageportal	MedImage Portal
7721-7723		(unassigned)	Unassigned
7724	tcp udp	nsdeepfreezectl	Novell Snap-in Deep Freeze Control
7725	tcp udp	nitrogen	Nitrogen Service
7726	tcp udp	freezexservice	FreezeX Console Service
7727	tcp udp	trident-data	Trident Systems Data
7728	tcp udp sctp	osvr	Open-Source Virtual Reality
7729-7733		(unassigned)	Unassigned
7734	tcp udp	smip	Smith Protocol over IP
7735-7737		(unassigned)	Unassigned
7738	tcp udp	aiagent	HP Enterprise Discovery Agent
7739-7740		(unassigned)	Unassigned
7741	tcp udp	scriptview	ScriptView Network
7742	tcp	msss	Mugginsoft Script Server Service
7742	udp	(reserved)	Reserved
7743	tcp udp	sstp-1	Sakura Script Transfer Protocol
7744	tcp udp	raqmon-pdu	RAQMON PDU
7745-7746		(unassigned)	Unassigned
7747	tcp udp	prgp	Put/Run/Get Protocol
7748-7776		(unassigned)	Unassigned
7775	tcp	inetfs	A File System using TLS over a wide area network
7775	udp	(reserved)	Reserved
7776		(unassigned)	Unassigned
7777	tcp udp	cbt	cbt	Known Unauthorized Use on port 7777
7778	tcp udp	interwise	Interwise
7779	tcp udp	vstat	VSTAT
7780		(unassigned)	Unassigned
7781	tcp udp	accu-lmgr	accu-lmgr
7782-7783		(unassigned)	Unassigned
7784	udp	s-bfd	Seamless Bidirectional Forwarding Detection (S-BFD)
7784	tcp	(reserved)	Reserved
7785		(unassigned)	Unassigned	Known Unauthorized Use on port 7785
7786	tcp udp	minivend	MINIVEND	Known Unauthorized Use on port 7786
7787	tcp udp	popup-reminders	Popup Reminders Receive	Known Unauthorized Use on port 7787
7788		(unassigned)	Unassigned	Known Unauthorized Use on port 7788
7789	tcp udp	office-tools	Office Tools Pro Receive	Known Unauthorized Use on port 7789
7790-7793		(unassigned)	Unassigned
7794	tcp udp	q3ade	Q3ADE Cluster Service
7795-7796		(unassigned)	Unassigned
7797	tcp udp	pnet-conn	Propel Connector port
7798	tcp udp	pnet-enc	Propel Encoder port
7799	tcp udp	altbsdp	Alternate BSDP Service
7800	tcp udp	asr	Apple Software Restore
7801	tcp udp	ssp-client	Secure Server Protocol - client
7802	udp	vns-tp	Virtualized Network Services Tunnel Protocol
7802	tcp	(reserved)	Reserved
7803-7809		(unassigned)	Unassigned
7810	tcp udp	rbt-wanopt	Riverbed WAN Optimization Protocol
7811-7844		(unassigned)	Unassigned
7845	tcp udp	apc-7845	APC 7845
7846	tcp udp	apc-7846	APC 7846
7847	tcp	csoauth	A product key authentication protocol made by CSO
7847	udp	(reserved)	Reserved
7848-7868		(unassigned)	Unassigned
7869	tcp	mobileanalyzer	MobileAnalyzer& MobileMonitor
7869	udp	(reserved)	Reserved
7870	tcp	rbt-smc	Riverbed Steelhead Mobile Service
7870	udp	(reserved)	Reserved
7871	tcp	mdm	Mobile Device Management
7871	udp	(reserved)	Reserved
7872	tcp	(reserved)	Reserved
7872	udp	mipv6tls	TLS-based Mobile IPv6 Security
7873-7877		(unassigned)	Unassigned
7878	tcp	owms	Opswise Message Service
7878	udp	(reserved)	Reserved
7879		(unassigned)	Unassigned
7880	tcp udp	pss	Pearson
7881-7886		(unassigned)	Unassigned
7887	tcp udp	ubroker	Universal Broker
7888-7899		(unassigned)	Unassigned
7900	tcp udp	mevent	Multicast Event
7901	tcp udp	tnos-sp	TNOS Service Protocol
7902	tcp udp	tnos-dp	TNOS shell Protocol
7903	tcp udp	tnos-dps	TNOS Secure DiaguardProtocol
7904-7912		(unassigned)	Unassigned
7913	tcp udp	qo-secure	QuickObjects secure port
7914-7931		(unassigned)	Unassigned
7932	tcp udp	t2-drm	Tier 2 Data Resource Manager
7933	tcp udp	t2-brm	Tier 2 Business Rules Manager
7934-7961		(unassigned)	Unassigned
7962	tcp udp	generalsync	Encrypted, extendable, general-purpose synchronization protocol
7963-7966		(unassigned)	Unassigned
7967	tcp udp	supercell	Supercell
7968-7978		(unassigned)	Unassigned
7979	tcp udp	micromuse-ncps	Micromuse-ncps
7980	tcp udp	quest-vista	Quest Vista
7981	tcp	sossd-collect	Spotlight on SQL Server Desktop Collect
7981	udp	(reserved)	Reserved
7982	tcp	sossd-agent	Spotlight on SQL Server Desktop Agent
7982	udp	sossd-disc	Spotlight on SQL Server Desktop Agent Discovery
7983-7997		(unassigned)	Unassigned
7997	tcp	pushns	PUSH Notification Service
7997	udp	(reserved)	Reserved
7998	tcp	(reserved)	Reserved
7998	udp	usicontentpush	USI Content Push Service
7999	tcp udp	irdmi2	iRDMI2
8000	tcp udp	irdmi	iRDMI
8001	tcp udp	vcom-tunnel	VCOM Tunnel	Known Unauthorized Use on port 8001
8002	tcp udp	teradataordbms	Teradata ORDBMS
8003	tcp udp	mcreport	Mulberry Connect Reporting Service
8004	tcp	p2pevolvenet	Opensource Evolv Enterprise Platform P2P Network Node Connection Protocol
8004	udp	(reserved)	Reserved
8005	tcp udp	mxi	MXI Generation II for z/OS
8006	tcp	wpl-analytics	World Programming analytics
8006	udp	wpl-disc	World Programming analytics discovery
8007	tcp udp	warppipe	I/O oriented cluster computing software
8008	tcp udp	http-alt	HTTP Alternate
8009	tcp	nvme-disc	NVMe over Fabrics Discovery Service
8009	udp	(reserved)	Reserved
8010		(reserved)	Reserved	yes
8011-8014		(unassigned)	Unassigned
8015	tcp	cfg-cloud	Configuration Cloud Service
8015	udp	(reserved)	Reserved
8016	tcp	ads-s	Beckhoff Automation Device Specification
8016	udp	(reserved)	Reserved
8017	tcp	(reserved)	Reserved
8017	udp	cisco-cloudsec	Cisco Cloudsec Dataplane Port Number
8018		(unassigned)	Unassigned
8019	tcp udp	qbdb	QB DB Dynamic Port
8020	tcp udp	intu-ec-svcdisc	Intuit Entitlement Service and Discovery
8021	tcp udp	intu-ec-client	Intuit Entitlement Client
8022	tcp udp	oa-system	oa-system
8023	tcp udp	arca-api	ARCATrust vault API
8024		(unassigned)	Unassigned
8025	tcp udp	ca-audit-da	CA Audit Distribution Agent
8026	tcp udp	ca-audit-ds	CA Audit Distribution Server
8027	tcp udp	papachi-p2p-srv	peer tracker and data relay service
8028-8031		(unassigned)	Unassigned
8032	tcp udp	pro-ed	ProEd
8033	tcp udp	mindprint	MindPrint
8034	tcp udp	vantronix-mgmt	.vantronix Management
8035-8039		(unassigned)	Unassigned
8040	tcp udp	ampify	Ampify Messaging Protocol
8041	tcp udp	enguity-xccetp	Xcorpeon ASIC Carrier Ethernet Transport
8042	tcp	fs-agent	FireScope Agent
8042	udp	(reserved)	Reserved
8043	tcp	fs-server	FireScope Server
8043	udp	(reserved)	Reserved
8044	tcp	fs-mgmt	FireScope Management Interface
8044	udp	(reserved)	Reserved
8045-8050		(unassigned)	Unassigned
8051	tcp	rocrail	Rocrail Client Service
8051	udp	(reserved)	Reserved
8052	tcp udp	senomix01	Senomix Timesheets Server
8053	tcp udp	senomix02	Senomix Timesheets Client [1 year assignment]
8054	tcp udp	senomix03	Senomix Timesheets Server [1 year assignment]
8055	tcp udp	senomix04	Senomix Timesheets Server [1 year assignment]
8056	tcp udp	senomix05	Senomix Timesheets Server [1 year assignment]
8057	tcp udp	senomix06	Senomix Timesheets Client [1 year assignment]
8058	tcp udp	senomix07	Senomix Timesheets Client [1 year assignment]
8059	tcp udp	senomix08	Senomix Timesheets Client [1 year assignment]
8060	tcp	(reserved)	Reserved
8060	udp	aero	Asymmetric Extended Route Optimization (AERO)
8061	tcp	nikatron-dev	Nikatron Device Protocol
8061	udp	(reserved)	Reserved
8062-8065		(unassigned)	Unassigned
8066	tcp	toad-bi-appsrvr	Toad BI Application Server
8066	udp	(reserved)	Reserved
8067	tcp	infi-async	Infinidat async replication
8067	udp	(reserved)	Reserved
8068-8069		(unassigned)	Unassigned
8070	tcp	ucs-isc	Oracle Unified Communication Suite's Indexed Search Converter
8070	udp	(reserved)	Reserved
8071-8073		(unassigned)	Unassigned
8074	tcp udp	gadugadu	Gadu-Gadu
8075-8076		(unassigned)	Unassigned
8077	tcp	(reserved)	Reserved	De-Assigned on 2024-01-05.
8077	udp	(reserved)	Reserved
8078-8079		(unassigned)	Unassigned
8080	tcp udp	http-alt	HTTP Alternate (see port 80)
8081	tcp udp	sunproxyadmin	Sun Proxy Admin Service
8082	tcp udp	us-cli	Utilistor (Client)
8083	tcp udp	us-srv	Utilistor (Server)
8084	tcp	websnp	Snarl Network Protocol over HTTP
8084	udp	(reserved)	Reserved
8085		(unassigned)	Unassigned
8086	tcp udp	d-s-n	Distributed SCADA Networking Rendezvous Port
8087	tcp udp	simplifymedia	Simplify Media SPP Protocol
8088	tcp udp	radan-http	Radan HTTP
8089		(unassigned)	Unassigned
8090	tcp	opsmessaging	Vehicle to station messaging
8090	udp	(reserved)	Reserved
8091	tcp	jamlink	Jam Link Framework
8091	udp	(reserved)	Reserved
8092-8096		(unassigned)	Unassigned
8097	tcp udp	sac	SAC Port Id
8098-8099		(unassigned)	Unassigned
8100	tcp udp	xprint-server	Xprint Server
8101	tcp	ldoms-migr	Logical Domains Migration
8101	udp	(reserved)	Reserved
8102	tcp	kz-migr	Oracle Kernel zones migration server
8102	udp	(reserved)	Reserved
8103-8110		(unassigned)	Unassigned
8111	tcp	(reserved)	Reserved
8111	udp	skynetflow	Skynetflow network services
8112-8114		(unassigned)	Unassigned
8115	tcp udp	mtl8000-matrix	MTL8000 Matrix
8116	tcp udp	cp-cluster	Check Point Clustering
8117	tcp	purityrpc	Purity replication clustering and remote management
8117	udp	(reserved)	Reserved
8118	tcp udp	privoxy	Privoxy HTTP proxy
8119-8120		(unassigned)	Unassigned
8121	tcp udp	apollo-data	Apollo Data Port
8122	tcp udp	apollo-admin	Apollo Admin Port
8123-8127		(unassigned)	Unassigned
8128	tcp udp	paycash-online	PayCash Online Protocol
8129	tcp udp	paycash-wbp	PayCash Wallet-Browser
8130	tcp udp	indigo-vrmi	INDIGO-VRMI
8131	tcp udp	indigo-vbcp	INDIGO-VBCP
8132	tcp udp	dbabble	dbabble
8133-8139		(unassigned)	Unassigned
8140	tcp	puppet	The Puppet master service
8140	udp	(reserved)	Reserved
8141-8147		(unassigned)	Unassigned
8148	tcp udp	isdd	i-SDD file transfer
8149	tcp	(reserved)	Reserved
8149	udp	eor-game	Edge of Reality game data
8150-8152		(unassigned)	Unassigned
8153	tcp	quantastor	QuantaStor Management Interface
8153	udp	(reserved)	Reserved
8154-8159		(unassigned)	Unassigned
8160	tcp udp	patrol	Patrol
8161	tcp udp	patrol-snmp	Patrol SNMP
8162	tcp	lpar2rrd	LPAR2RRD client server communication
8162	udp	(reserved)	Reserved
8163-8180		(unassigned)	Unassigned
8181	tcp	intermapper	Intermapper network management system
8181	udp	(reserved)	Reserved
8182	tcp udp	vmware-fdm	VMware Fault Domain Manager
8183	tcp	proremote	ProRemote
8183	udp	(reserved)	Reserved
8184	tcp udp	itach	Remote iTach Connection
8185-8189		(unassigned)	Unassigned
8190	tcp	gcp-rphy	Generic control plane for RPHY
8190	udp	(reserved)	Reserved
8191	tcp	limnerpressure	Limner Pressure
8191	udp	(reserved)	Reserved
8192	tcp udp	spytechphone	SpyTech Phone Service
8193		(unassigned)	Unassigned
8194	tcp udp	blp1	Bloomberg data API
8195	tcp udp	blp2	Bloomberg feed
8196-8198		(unassigned)	Unassigned
8199	tcp udp	vvr-data	VVR DATA
8200	tcp udp	trivnet1	TRIVNET
8201	tcp udp	trivnet2	TRIVNET
8202	tcp	(reserved)	Reserved
8202	udp	aesop	Audio+Ethernet Standard Open Protocol
8203-8203		(unassigned)	Unassigned
8204	tcp udp	lm-perfworks	LM Perfworks
8205	tcp udp	lm-instmgr	LM Instmgr
8206	tcp udp	lm-dta	LM Dta
8207	tcp udp	lm-sserver	LM SServer
8208	tcp udp	lm-webwatcher	LM Webwatcher
8209-8210		(unassigned)	Unassigned
8211	tcp	(reserved)	Reserved
8211	udp	aruba-papi	Aruba Networks AP management
8212-8229		(unassigned)	Unassigned
8230	tcp udp	rexecj	RexecJ Server
8231	tcp	(reserved)	Reserved
8231	udp	hncp-udp-port	HNCP
8232	tcp	(reserved)	Reserved
8232	udp	hncp-dtls-port	HNCP over DTLS
8233-8242		(unassigned)	Unassigned
8243	tcp udp	synapse-nhttps	Synapse Non Blocking HTTPS
8244-8265		(unassigned)	Unassigned
8266	tcp	(reserved)	Reserved
8266	udp	espeasy-p2p	ESPeasy peer-2-peer communication
8267-8269		(unassigned)	Unassigned
8270	tcp	robot-remote	Robot Framework Remote Library Interface
8270	udp	(reserved)	Reserved
8271-8275		(unassigned)	Unassigned
8276	tcp udp	ms-mcc	Microsoft Connected Cache
8277-8279		(unassigned)	Unassigned
8280	tcp udp	synapse-nhttp	Synapse Non Blocking HTTP
8281		(unassigned)	Unassigned
8282	tcp	libelle	Libelle EnterpriseBus
8282	udp	libelle-disc	Libelle EnterpriseBus discovery
8282	sctp dccp	(reserved)	Reserved
8283-8291		(unassigned)	Unassigned
8292	tcp udp	blp3	Bloomberg professional
8293	tcp	hiperscan-id	Hiperscan Identification Service
8293	udp	(reserved)	Reserved
8294	tcp udp	blp4	Bloomberg intelligent client
8295-8299		(unassigned)	Unassigned
8300	tcp udp	tmi	Transport Management Interface
8301	tcp udp	amberon	Amberon PPC/PPS
8302-8312		(unassigned)	Unassigned
8313	tcp	hub-open-net	Hub Open Network
8313	udp	(reserved)	Reserved
8314-8319		(unassigned)	Unassigned
8320	tcp udp	tnp-discover	Thin(ium) Network Protocol
8321	tcp udp	tnp	Thin(ium) Network Protocol
8322	tcp udp	garmin-marine	Garmin Marine
8323-8350		(unassigned)	Unassigned
8351	tcp udp	server-find	Server Find
8352-8375		(unassigned)	Unassigned
8376	tcp udp	cruise-enum	Cruise ENUM
8377	tcp udp	cruise-swroute	Cruise SWROUTE
8378	tcp udp	cruise-config	Cruise CONFIG
8379	tcp udp	cruise-diags	Cruise DIAGS
8380	tcp udp	cruise-update	Cruise UPDATE
8381-8382		(unassigned)	Unassigned
8383	tcp udp	m2mservices	M2m Services
8384	udp	marathontp	Marathon Transport Protocol
8384	tcp	(reserved)	Reserved
8385-8399		(unassigned)	Unassigned
8400	tcp udp	cvd	cvd
8401	tcp udp	sabarsd	sabarsd
8402	tcp udp	abarsd	abarsd
8403	tcp udp	admind	admind
8404	tcp	svcloud	SuperVault Cloud
8404	udp	(reserved)	Reserved
8405	tcp	svbackup	SuperVault Backup
8405	udp	(reserved)	Reserved
8406-8414		(unassigned)	Unassigned
8415	tcp	dlpx-sp	Delphix Session Protocol
8415	udp	(reserved)	Reserved
8416	tcp udp	espeech	eSpeech Session Protocol
8417	tcp udp	espeech-rtp	eSpeech RTP Protocol
8418-8422		(unassigned)	Unassigned
8423	tcp	aritts	Aristech text-to-speech server
8423	udp	(reserved)	Reserved
8424-8431		(unassigned)	Unassigned
8432	tcp	pgbackrest	PostgreSQL Backup
8432	udp	(reserved)	Reserved
8433	tcp	(reserved)	Reserved
8433	udp	aws-as2	Non Persistent Desktop and Application Streaming
8434-8441		(unassigned)	Unassigned
8442	tcp udp	cybro-a-bus	CyBro A-bus Protocol
8443	tcp udp	pcsync-https	PCsync HTTPS
8444	tcp udp	pcsync-http	PCsync HTTP
8445	tcp	copy	Port for copy peer sync feature
8445	udp	copy-disc	Port for copy discovery
8446-8447		(unassigned)	Unassigned
8448	tcp	matrix-fed	Matrix Federation Protocol
8448	udp	(reserved)	Reserved
8449		(unassigned)	Unassigned
8450	tcp udp	npmp	npmp
8451-8456		(unassigned)	Unassigned
8457	tcp	nexentamv	Nexenta Management GUI
8457	udp	(reserved)	Reserved
8458-8469		(unassigned)	Unassigned
8470	tcp	cisco-avp	Cisco Address Validation Protocol
8470	udp	(reserved)	Reserved
8471	tcp sctp	pim-port	PIM over Reliable Transport
8471	udp	(reserved)	Reserved
8472	tcp udp	otv	Overlay Transport Virtualization (OTV)
8473	tcp udp	vp2p	Virtual Point to Point
8474	tcp udp	noteshare	AquaMinds NoteShare
8475-8499		(unassigned)	Unassigned
8500	tcp udp	fmtp	Flight Message Transfer Protocol
8501	tcp	cmtp-mgt	CYTEL Message Transfer Management
8501	udp	cmtp-av	CYTEL Message Transfer Audio and Video
8502	tcp	ftnmtp	FTN Message Transfer Protocol
8502	udp	(reserved)	Reserved
8503	udp	lsp-self-ping	MPLS LSP Self-Ping
8503	tcp	(reserved)	Reserved
8504-8553		(unassigned)	Unassigned
8554	tcp udp	rtsp-alt	RTSP Alternate (see port 554)
8555	tcp udp	d-fence	SYMAX D-FENCE
8556-8566		(unassigned)	Unassigned
8567	tcp udp	dof-tunnel	DOF Tunneling Protocol
8568-8599		(unassigned)	Unassigned
8600	tcp udp	asterix	Surveillance Data
8601-8608		(unassigned)	Unassigned
8609	tcp	(reserved)	Reserved
8609	udp	canon-cpp-disc	Canon Compact Printer Protocol Discovery
8610	tcp udp	canon-mfnp	Canon MFNP Service
8611	tcp udp	canon-bjnp1	Canon BJNP Port 1
8612	tcp udp	canon-bjnp2	Canon BJNP Port 2
8613	tcp udp	canon-bjnp3	Canon BJNP Port 3
8614	tcp udp	canon-bjnp4	Canon BJNP Port 4
8615	tcp	imink	Imink Service Control
8615	udp	(reserved)	Reserved
8616-8664		(unassigned)	Unassigned	Unauthorized Use Known on ports 8616 and 8617
8665	tcp	monetra	Monetra
8665	udp	(reserved)	Reserved
8666	tcp	monetra-admin	Monetra Administrative Access
8666	udp	(reserved)	Reserved
8667		(unassigned)	Unassigned
8668	tcp	spartan	Spartan management
8668	udp	(reserved)	Reserved
8669-8674		(unassigned)	Unassigned
8675	tcp	msi-cps-rm	Motorola Solutions Customer Programming Software for Radio Management
8675	udp	msi-cps-rm-disc	Motorola Solutions Customer Programming Software for Radio Management Discovery
8676-8685		(unassigned)	Unassigned
8686	tcp udp	sun-as-jmxrmi	Sun App Server - JMX/RMI
8687		(unassigned)	Unassigned
8688	tcp	openremote-ctrl	OpenRemote Controller HTTP/REST
8688	udp	(reserved)	Reserved
8689-8698		(unassigned)	Unassigned
8699	tcp	vnyx	VNYX Primary Port
8699	udp	(reserved)	Reserved	This entry is being removed on 2013-05-24.
8700-8709		(unassigned)	Unassigned
8710	tcp	semi-grpc	gRPC for SEMI Standards implementations
8710	udp	(reserved)	Reserved
8711	tcp	nvc	Nuance Voice Control
8711	udp	(reserved)	Reserved
8712-8731		(unassigned)	Unassigned
8732	tcp	(reserved)	Reserved
8732	udp	dtp-net	DASGIP Net Services
8733	tcp udp	ibus	iBus
8734-8749		(unassigned)	Unassigned
8750	tcp	dey-keyneg	DEY Storage Key Negotiation
8750	udp	(reserved)	Reserved
8751-8762		(unassigned)	Unassigned
8763	tcp udp	mc-appserver	MC-APPSERVER
8764	tcp udp	openqueue	OPENQUEUE
8765	tcp udp	ultraseek-http	Ultraseek HTTP
8766	tcp udp	amcs	Agilent Connectivity Service
8767	tcp	core-of-source	Online mobile multiplayer game
8767	udp	(reserved)	Reserved
8768	tcp	sandpolis	Sandpolis Server
8768	udp	(reserved)	Reserved
8769	tcp	oktaauthenticat	Okta MultiPlatform Access Mgmt for Cloud Svcs
8769	udp	(reserved)	Reserved
8770	tcp udp	dpap	Digital Photo Access Protocol (iPhoto)
8771-8777		(unassigned)	Unassigned
8778	tcp	uec	Stonebranch Universal Enterprise Controller
8778	udp	(reserved)	Reserved
8779-8785		(unassigned)	Unassigned
8786	tcp udp	msgclnt	Message Client
8787	tcp udp	msgsrvr	Message Server
8788-8792		(unassigned)	Unassigned
8793	tcp udp	acd-pm	Accedian Performance Measurement
8794-8799		(unassigned)	Unassigned
8800	tcp udp	sunwebadmin	Sun Web Server Admin Service
8801-8803		(unassigned)	Unassigned	Known UNAUTHORIZED USE: Port 8801
8804	tcp udp	truecm	truecm
8805	tcp	(reserved)	Reserved
8805	udp	pfcp	Destination Port number for PFCP
8806		(unassigned)	Unassigned
8807	tcp	(reserved)	Reserved
8807	udp	hes-clip	HES-CLIP Interoperability protocol
8808	tcp	(reserved)	Reserved
8808	udp	ssports-bcast	STATSports Broadcast Service
8809	tcp	(reserved)	Reserved
8809	udp	3gpp-monp	MCPTT Off-Network Protocol (MONP)
8810-8872		(unassigned)	Unassigned
8873	tcp udp	dxspider	dxspider linking protocol
8874-8879		(unassigned)	Unassigned
8880	tcp udp	cddbp-alt	CDDBP
8881	tcp	galaxy4d	Galaxy4D Online Game Engine
8881	udp	(reserved)	Reserved
8882		(unassigned)	Unassigned	Unauthorized Use Known on port 8882
8883	tcp udp	secure-mqtt	Secure MQTT
8884-8887		(unassigned)	Unassigned
8888	tcp	ddi-tcp-1	NewsEDGE server TCP (TCP 1)	Known Unauthorized Use on port 8888
8888	udp	ddi-udp-1	NewsEDGE server UDP (UDP 1)	Known Unauthorized Use on port 8888
8889	tcp	ddi-tcp-2	Desktop Data TCP 1	Known Unauthorized Use on port 8889
8889	udp	ddi-udp-2	NewsEDGE server broadcast	Known Unauthorized Use on port 8889
8890	tcp	ddi-tcp-3	Desktop Data TCP 2	Known Unauthorized Use on port 8890
8890	udp	ddi-udp-3	NewsEDGE client broadcast	Known Unauthorized Use on port 8890
8891	tcp	ddi-tcp-4	Desktop Data TCP 3: NESS application
8891	udp	ddi-udp-4	Desktop Data UDP 3: NESS application
8892	tcp	ddi-tcp-5	Desktop Data TCP 4: FARM product
8892	udp	ddi-udp-5	Desktop Data UDP 4: FARM product
8893	tcp	ddi-tcp-6	Desktop Data TCP 5: NewsEDGE/Web application
8893	udp	ddi-udp-6	Desktop Data UDP 5: NewsEDGE/Web application
8894	tcp	ddi-tcp-7	Desktop Data TCP 6: COAL application
8894	udp	ddi-udp-7	Desktop Data UDP 6: COAL application
8895-8898		(unassigned)	Unassigned
8899	tcp udp	ospf-lite	ospf-lite
8900	tcp udp	jmb-cds1	JMB-CDS 1
8901	tcp udp	jmb-cds2	JMB-CDS 2
8902-8907		(unassigned)	Unassigned
8908	tcp	dpp	WFA Device Provisioning Protocol
8908	udp	(reserved)	Reserved
8909		(unassigned)	Unassigned
8910	tcp udp	manyone-http	manyone-http
8911	tcp udp	manyone-xml	manyone-xml
8912	tcp udp	wcbackup	Windows Client Backup
8913	tcp udp	dragonfly	Dragonfly System Service
8914-8936		(unassigned)	Unassigned
8937	tcp	twds	Transaction Warehouse Data Service
8937	udp	(reserved)	Reserved
8938-8952		(unassigned)	Unassigned
8953	tcp	ub-dns-control	unbound dns nameserver control
8953	udp	(reserved)	Reserved
8954	tcp udp	cumulus-admin	Cumulus Admin Port
8955-8979		(unassigned)	Unassigned
8980	tcp udp	nod-provider	Network of Devices Provider
8981	udp	nod-client	Network of Devices Client
8981	tcp	(reserved)	Reserved
8982-8988		(unassigned)	Unassigned
8989	tcp udp	sunwebadmins	Sun Web Server SSL Admin Service
8990	tcp udp	http-wmap	webmail HTTP service
8991	tcp udp	https-wmap	webmail HTTPS service
8992-8996		(unassigned)	Unassigned
8997	tcp	oracle-ms-ens	Oracle Messaging Server Event Notification Service
8997	udp	(reserved)	Reserved
8998	tcp	canto-roboflow	Canto RoboFlow Control
8998	udp	(reserved)	Reserved
8999	tcp udp	bctp	Brodos Crypto Trade Protocol
9000	tcp udp	cslistener	CSlistener
9001	tcp udp	etlservicemgr	ETL Service Manager	Known Unauthorized Use on port 9001
9002	tcp udp	dynamid	DynamID authentication
9003-9004		(unassigned)	Unassigned
9005	tcp	golem	Golem Inter-System RPC
9005	udp	(reserved)	Reserved
9006		(unassigned)	De-Commissioned Port
9007	tcp	(reserved)	Reserved
9007	udp	ogs-client	Open Grid Services Client
9008	tcp	ogs-server	Open Grid Services Server
9008	udp	(reserved)	Reserved
9009	tcp udp	pichat	Pichat Server
9010	tcp	sdr	Secure Data Replicator Protocol
9010	udp	(reserved)	Reserved
9011	tcp	(reserved)	Reserved
9011	udp	d-star	D-Star Routing digital voice+data for amateur radio
9012-9019		(unassigned)	Unassigned
9020	tcp udp	tambora	TAMBORA
9021	tcp udp	panagolin-ident	Pangolin Identification
9022	tcp udp	paragent	PrivateArk Remote Agent
9023	tcp udp	swa-1	Secure Web Access - 1
9024	tcp udp	swa-2	Secure Web Access - 2
9025	tcp udp	swa-3	Secure Web Access - 3
9026	tcp udp	swa-4	Secure Web Access - 4
9027-9049		(unassigned)	Unassigned
9050	tcp	versiera	Versiera Agent Listener
9050	udp	(reserved)	Reserved
9051	tcp	fio-cmgmt	Fusion-io Central Manager Service
9051	udp	(reserved)	Reserved
9052-9059		(unassigned)	Unassigned
9060	tcp	CardWeb-IO	CardWeb request-response I/O exchange
9060	udp	CardWeb-RT	CardWeb realtime device data
9061-9079		(unassigned)	Unassigned
9080	tcp udp	glrpc	Groove GLRPC
9081	tcp	(reserved)	Reserved
9081	udp	cisco-aqos	Required for Adaptive Quality of Service
9082	sctp	lcs-ap	LCS Application Protocol
9083	tcp	emc-pp-mgmtsvc	EMC PowerPath Mgmt Service
9083	udp	(reserved)	Reserved
9084	tcp udp sctp	aurora	IBM AURORA Performance Visualizer
9085	tcp udp	ibm-rsyscon	IBM Remote System Console
9086	tcp udp	net2display	Vesa Net2Display
9087	tcp udp	classic	Classic Data Server
9088	tcp udp	sqlexec	IBM Informix SQL Interface
9089	tcp udp	sqlexec-ssl	IBM Informix SQL Interface - Encrypted
9090	tcp udp	websm	WebSM
9091	tcp udp	xmltec-xmlmail	xmltec-xmlmail
9092	tcp udp	XmlIpcRegSvc	Xml-Ipc Server Reg
9093	tcp	copycat	Copycat database replication service
9093	udp	(reserved)	Reserved
9094-9099		(unassigned)	Unassigned
9100	tcp udp	hp-pdl-datastr	PDL Data Streaming Port
9100	tcp udp	pdl-datastream	Printer PDL Data Stream
9101	tcp udp	bacula-dir	Bacula Director
9102	tcp udp	bacula-fd	Bacula File Daemon
9103	tcp udp	bacula-sd	Bacula Storage Daemon
9104	tcp udp	peerwire	PeerWire
9105	tcp udp	xadmin	Xadmin Control Service
9106	tcp	astergate	Astergate Control Service
9106	udp	astergate-disc	Astergate Discovery Service
9107	tcp	astergatefax	AstergateFax Control Service
9107	udp	(reserved)	Reserved
9108-9110		(unassigned)	Unassigned
9111	tcp udp	hexxorecore	Multiple Purpose, Distributed Message Bus
9112-9118		(unassigned)	Unassigned
9119	tcp udp	mxit	MXit Instant Messaging
9120-9121		(unassigned)	Unassigned
9122	tcp	grcmp	Global Relay compliant mobile instant messaging protocol
9122	udp	(reserved)	Reserved
9123	tcp	grcp	Global Relay compliant instant messaging protocol
9123	udp	(reserved)	Reserved
9124-9130		(unassigned)	Unassigned
9131	tcp udp	dddp	Dynamic Device Discovery
9132-9159		(unassigned)	Unassigned
9160	tcp udp	apani1	apani1
9161	tcp udp	apani2	apani2
9162	tcp udp	apani3	apani3
9163	tcp udp	apani4	apani4
9164	tcp udp	apani5	apani5
9165-9190		(unassigned)	Unassigned
9191	tcp udp	sun-as-jpda	Sun AppSvr JPDA
9192-9199		(unassigned)	Unassigned
9200	tcp udp	wap-wsp	WAP connectionless session service
9201	tcp udp	wap-wsp-wtp	WAP session service
9202	tcp udp	wap-wsp-s	WAP secure connectionless session service
9203	tcp udp	wap-wsp-wtp-s	WAP secure session service
9204	tcp udp	wap-vcard	WAP vCard
9205	tcp udp	wap-vcal	WAP vCal
9206	tcp udp	wap-vcard-s	WAP vCard Secure
9207	tcp udp	wap-vcal-s	WAP vCal Secure
9208	tcp udp	rjcdb-vcards	rjcdb vCard
9209	tcp udp	almobile-system	ALMobile System Service
9210	tcp udp	oma-mlp	OMA Mobile Location Protocol
9211	tcp udp	oma-mlp-s	OMA Mobile Location Protocol Secure
9212	tcp udp	serverviewdbms	Server View dbms access
9213	tcp udp	serverstart	ServerStart RemoteControl
9214	tcp udp	ipdcesgbs	IPDC ESG BootstrapService
9215	tcp udp	insis	Integrated Setup and Install Service
9216	tcp udp	acme	Aionex Communication Management Engine
9217	tcp udp	fsc-port	FSC Communication Port
9218-9221		(unassigned)	Unassigned
9222	tcp udp	teamcoherence	QSC Team Coherence
9223-9254		(unassigned)	Unassigned
9255	tcp udp	mon	Manager On Network
9256-9276		(unassigned)	Unassigned
9277	udp	traingpsdata	GPS Data transmitted from train to ground network
9277	tcp	(reserved)	Reserved
9278	tcp udp	pegasus	Pegasus GPS Platform
9279	tcp udp	pegasus-ctl	Pegaus GPS System Control Interface
9280	tcp udp	pgps	Predicted GPS
9281	tcp udp	swtp-port1	SofaWare transport port 1
9282	tcp udp	swtp-port2	SofaWare transport port 2
9283	tcp udp	callwaveiam	CallWaveIAM
9284	tcp udp	visd	VERITAS Information Serve
9285	tcp udp	n2h2server	N2H2 Filter Service Port
9286	tcp	(reserved)	Reserved
9286	udp	n2receive	n2 monitoring receiver
9287	tcp udp	cumulus	Cumulus
9288-9291		(unassigned)	Unassigned
9292	tcp udp	armtechdaemon	ArmTech Daemon
9293	tcp udp	storview	StorView Client
9294	tcp udp	armcenterhttp	ARMCenter http Service
9295	tcp udp	armcenterhttps	ARMCenter https Service
9296-9299		(unassigned)	Unassigned
9300	tcp udp	vrace	Virtual Racing Service
9301-9305		(unassigned)	Unassigned
9306	tcp	sphinxql	Sphinx search server (MySQL listener)
9306	udp	(reserved)	Reserved
9307-9309		(unassigned)	Unassigned
9310	tcp	sapms	SAP Message Server
9310	udp	(reserved)	Reserved
9311		(unassigned)	Unassigned
9312	tcp	sphinxapi	Sphinx search server
9312	udp	(reserved)	Reserved
9313-9317		(unassigned)	Unassigned
9318	tcp udp	secure-ts	PKIX TimeStamp over TLS
9319-9320		(unassigned)	Unassigned
9321	tcp udp	guibase	guibase
9322-9338		(unassigned)	Unassigned
9339	tcp	gnmi-gnoi	gRPC Network Mgmt/Operations Interface
9339	udp	(reserved)	Reserved
9340	tcp	gribi	gRPC Routing Information Base Interface
9340	udp	(reserved)	Reserved
9341-9342		(unassigned)	Unassigned
9343	tcp udp	mpidcmgr	MpIdcMgr
9344	tcp udp	mphlpdmc	Mphlpdmc
9345	tcp	rancher	Rancher Agent
9345	udp	(reserved)	Reserved
9346	tcp udp	ctechlicensing	C Tech Licensing
9347-9373		(unassigned)	Unassigned
9374	tcp udp	fjdmimgr	fjdmimgr
9375-9379		(unassigned)	Unassigned
9380	tcp udp	boxp	Brivs! Open Extensible Protocol
9381-9386		(unassigned)	Unassigned
9387	tcp	d2dconfig	D2D Configuration Service
9387	udp	(reserved)	Reserved
9388	tcp	d2ddatatrans	D2D Data Transfer Service
9388	udp	(reserved)	Reserved
9389	tcp	adws	Active Directory Web Services
9389	udp	(reserved)	Reserved
9390	tcp	otp	OpenVAS Transfer Protocol
9390	udp	(reserved)	Reserved
9391-9395		(unassigned)	Unassigned
9396	tcp udp	fjinvmgr	fjinvmgr
9397	tcp udp	mpidcagt	MpIdcAgt
9398-9399		(unassigned)	Unassigned
9400	tcp udp	sec-t4net-srv	Samsung Twain for Network Server
9401	tcp udp	sec-t4net-clt	Samsung Twain for Network Client
9402	tcp udp	sec-pc2fax-srv	Samsung PC2FAX for Network Server
9403-9417		(unassigned)	Unassigned
9418	tcp udp	git	git pack transfer service
9419-9442		(unassigned)	Unassigned
9443	tcp udp	tungsten-https	WSO2 Tungsten HTTPS
9444	tcp udp	wso2esb-console	WSO2 ESB Administration Console HTTPS
9445	tcp	mindarray-ca	MindArray Systems Console Agent
9445	udp	(reserved)	Reserved
9446-9449		(unassigned)	Unassigned
9450	tcp udp	sntlkeyssrvr	Sentinel Keys Server
9451-9499		(unassigned)	Unassigned
9500	tcp udp	ismserver	ismserver
9501-9521		(unassigned)	Unassigned
9522	tcp	(reserved)	Reserved
9522	udp	sma-spw	SMA Speedwire
9523-9534		(unassigned)	Unassigned
9535	tcp udp	mngsuite	Management Suite Remote Control
9536	tcp udp	laes-bf	Surveillance buffering function
9537-9554		(unassigned)	Unassigned
9555	tcp udp	trispen-sra	Trispen Secure Remote Access
9556-9558		(unassigned)	Unassigned
9559	tcp	p4runtime	P4Runtime gRPC Service
9559	udp	(reserved)	Reserved
9560-9591		(unassigned)	Unassigned
9592	tcp udp	ldgateway	LANDesk Gateway
9593	tcp udp	cba8	LANDesk Management Agent (cba8)
9594	tcp udp	msgsys	Message System
9595	tcp udp	pds	Ping Discovery Service
9596	tcp udp	mercury-disc	Mercury Discovery
9597	tcp udp	pd-admin	PD Administration
9598	tcp udp	vscp	Very Simple Ctrl Protocol
9599	tcp udp	robix	Robix
9600	tcp udp	micromuse-ncpw	MICROMUSE-NCPW
9601-9611		(unassigned)	Unassigned
9612	tcp udp	streamcomm-ds	StreamComm User Directory
9613		(unassigned)	Unassigned
9614	tcp	iadt-tls	iADT Protocol over TLS
9614	udp	(reserved)	Reserved
9615		(unassigned)	Unassigned
9616	tcp	erunbook-agent	eRunbook Agent IANA assigned this well-formed service name as a replacement for "erunbook_agent".
9616	tcp	erunbook_agent	eRunbook Agent
9616	udp	(reserved)	Reserved
9617	tcp	erunbook-server	eRunbook Server IANA assigned this well-formed service name as a replacement for "erunbook_server".
9617	tcp	erunbook_server	eRunbook Server
9617	udp	(reserved)	Reserved
9618	tcp udp	condor	Condor Collector Service
9619-9627		(unassigned)	Unassigned
9628	tcp udp	odbcpathway	ODBC Pathway Service
9629	tcp udp	uniport	UniPort SSO Controller
9630	tcp	peoctlr	Peovica Controller
9630	udp	(reserved)	Reserved
9631	tcp	peocoll	Peovica Collector
9631	udp	(reserved)	Reserved
9632	tcp	(reserved)	Reserved
9632	udp	mc-comm	Mobile-C Communications
9633-9639		(unassigned)	Unassigned
9640	tcp	pqsflows	ProQueSys Flows Service
9640	udp	(reserved)	Reserved
9641-9665		(unassigned)	Unassigned
9666	tcp	zoomcp	Zoom Control Panel Game Server Management
9666	udp	(reserved)	Reserved
9667	tcp udp	xmms2	Cross-platform Music Multiplexing System
9668	tcp udp	tec5-sdctp	tec5 Spectral Device Control Protocol
9669-9693		(unassigned)	Unassigned
9694	tcp udp	client-wakeup	T-Mobile Client Wakeup Message
9695	tcp udp	ccnx	Content Centric Networking
9696-9699		(unassigned)	Unassigned
9700	tcp udp	board-roar	Board M.I.T. Service
9701-9746		(unassigned)	Unassigned
9747	tcp udp	l5nas-parchan	L5NAS Parallel Channel
9748-9749		(unassigned)	Unassigned
9750	tcp udp	board-voip	Board M.I.T. Synchronous Collaboration
9751-9752		(unassigned)	Unassigned
9753	tcp udp	rasadv	rasadv
9754-9761		(unassigned)	Unassigned
9762	tcp udp	tungsten-http	WSO2 Tungsten HTTP
9763-9799		(unassigned)	Unassigned
9800	tcp udp	davsrc	WebDav Source Port
9801	tcp udp	sstp-2	Sakura Script Transfer Protocol-2
9802	tcp udp	davsrcs	WebDAV Source TLS/SSL
9803-9874		(unassigned)	Unassigned
9875	tcp udp	sapv1	Session Announcement v1
9876	tcp	sd	Session Director
9877	tcp	x510	The X.510 wrapper protocol
9877	udp	(reserved)	Reserved
9878	udp	kca-service	The KX509 Kerberized Certificate Issuance Protocol in Use in 2012
9878	tcp	(reserved)	Reserved
9879-9887		(unassigned)	Unassigned
9888	tcp udp	cyborg-systems	CYBORG Systems
9889	tcp udp	gt-proxy	Port for Cable network related data proxy or repeater
9890-9897		(unassigned)	Unassigned
9898	tcp udp	monkeycom	MonkeyCom
9899	tcp	(reserved)	Reserved
9899	udp	sctp-tunneling	SCTP TUNNELING
9900	tcp udp sctp	iua	IUA
9901	udp	enrp	enrp server channel
9901	sctp	enrp-sctp	enrp server channel
9902	sctp	enrp-sctp-tls	enrp/tls server channel
9903	tcp	(reserved)	Reserved
9903	udp	multicast-ping	Multicast Ping Protocol
9904-9908		(unassigned)	Unassigned
9909	tcp udp	domaintime	domaintime
9910		(unassigned)	Unassigned
9911	tcp udp	sype-transport	SYPECom Transport Protocol
9912-9924		(unassigned)	Unassigned
9925	tcp	xybrid-cloud	XYBRID Cloud
9925	udp	(reserved)	Reserved
9926-9949		(unassigned)	Unassigned
9950	tcp udp	apc-9950	APC 9950
9951	tcp udp	apc-9951	APC 9951
9952	tcp udp	apc-9952	APC 9952
9953	tcp udp	acis	9953
9954	tcp	hinp	HaloteC Instrument Network Protocol
9954	udp	(reserved)	Reserved
9955	tcp	alljoyn-stm	Contact Port for AllJoyn standard messaging
9955	udp	alljoyn-mcm	Contact Port for AllJoyn multiplexed constrained messaging
9956	tcp	(reserved)	Reserved
9956	udp	alljoyn	Alljoyn Name Service
9957-9965		(unassigned)	Unassigned
9966	tcp udp	odnsp	OKI Data Network Setting Protocol
9967-9977		(unassigned)	Unassigned
9978	tcp	xybrid-rt	XYBRID RT Server
9978	udp	(reserved)	Reserved
9979	tcp	visweather	Valley Information Systems Weather station data
9979	udp	(reserved)	Reserved
9980		(unassigned)	Unassigned
9981	tcp	pumpkindb	Event sourcing database engine with a built-in programming language
9981	udp	(reserved)	Reserved
9982-9985		(unassigned)	Unassigned
9986	tcp	kaostransport	KAOS secure message transport protocol for safety-critical environments
9986	udp	(reserved)	Reserved
9987	tcp udp	dsm-scm-target	DSM/SCM Target Interface
9988	tcp	nsesrvr	Software Essentials Secure HTTP server
9988	udp	(reserved)	Reserved
9989-9989		(unassigned)	Unassigned
9990	tcp udp	osm-appsrvr	OSM Applet Server
9991	tcp udp	osm-oev	OSM Event Server
9992	tcp udp	palace-1	OnLive-1
9993	tcp udp	palace-2	OnLive-2
9994	tcp udp	palace-3	OnLive-3
9995	tcp udp	palace-4	Palace-4
9996	tcp udp	palace-5	Palace-5
9997	tcp udp	palace-6	Palace-6
9998	tcp udp	distinct32	Distinct32
9999	tcp udp	distinct	distinct
10000	tcp udp	ndmp	Network Data Management Protocol
10001	tcp udp	scp-config	SCP Configuration
10002	tcp udp	documentum	EMC-Documentum Content Server Product
10003	tcp udp	documentum-s	EMC-Documentum Content Server Product IANA assigned this well-formed service name as a replacement for "documentum_s".
10003	tcp udp	documentum_s	EMC-Documentum Content Server Product
10004	tcp	emcrmirccd	EMC Replication Manager Client
10004	udp	(reserved)	Reserved
10005	tcp	emcrmird	EMC Replication Manager Server
10005	udp	(reserved)	Reserved
10006	tcp	netapp-sync	Sync replication protocol among different NetApp platforms
10006	udp	(reserved)	Reserved
10007	tcp udp	mvs-capacity	MVS Capacity
10008	tcp udp	octopus	Octopus Multiplexer
10009	tcp udp	swdtp-sv	Systemwalker Desktop Patrol
10010	tcp	rxapi	ooRexx rxapi services
10010	udp	(reserved)	Reserved
10011-10019		(unassigned)	Unassigned
10020	tcp	abb-hw	Hardware configuration and maintenance
10020	udp	(reserved)	Reserved
10021-10022		(unassigned)	Unassigned
10023	udp	cefd-vmp	Comtech EF-Data's Vipersat Management Protocol
10023	tcp	(reserved)	Reserved
10024-10049		(unassigned)	Unassigned
10050	tcp udp	zabbix-agent	Zabbix Agent
10051	tcp udp	zabbix-trapper	Zabbix Trapper
10052-10054		(unassigned)	Unassigned
10055	tcp	qptlmd	Quantapoint FLEXlm Licensing Service
10055	udp	(reserved)	Reserved
10056-10079		(unassigned)	Unassigned
10080	tcp udp	amanda	Amanda
10081	tcp udp	famdc	FAM Archive Server
10082-10099		(unassigned)	Unassigned
10100	tcp udp	itap-ddtp	VERITAS ITAP DDTP
10101	tcp udp	ezmeeting-2	eZmeeting
10102	tcp udp	ezproxy-2	eZproxy
10103	tcp udp	ezrelay	eZrelay
10104	tcp udp	swdtp	Systemwalker Desktop Patrol
10105-10106		(unassigned)	Unassigned
10107	tcp udp	bctp-server	VERITAS BCTP, server
10108-10109		(unassigned)	Unassigned
10110	tcp udp	nmea-0183	NMEA-0183 Navigational Data
10111	tcp	(reserved)	Reserved
10111	udp	nmea-onenet	NMEA OneNet multicast messaging
10112		(unassigned)	Unassigned
10113	tcp udp	netiq-endpoint	NetIQ Endpoint
10114	tcp udp	netiq-qcheck	NetIQ Qcheck
10115	tcp udp	netiq-endpt	NetIQ Endpoint
10116	tcp udp	netiq-voipa	NetIQ VoIP Assessor
10117	tcp udp	iqrm	NetIQ IQCResource Managament Svc
10118-10124		(unassigned)	Unassigned
10125	tcp	cimple	HotLink CIMple REST API
10125	udp	(reserved)	Reserved
10126-10127		(unassigned)	Unassigned
10128	tcp udp	bmc-perf-sd	BMC-PERFORM-SERVICE DAEMON
10129	tcp	bmc-gms	BMC General Manager Server
10129	udp	(reserved)	Reserved
10130-10159		(unassigned)	Unassigned
10160	tcp udp	qb-db-server	QB Database Server
10161	tcp	snmptls	SNMP-TLS
10161	udp	snmpdtls	SNMP-DTLS
10162	tcp	snmptls-trap	SNMP-Trap-TLS
10162	udp	snmpdtls-trap	SNMP-Trap-DTLS
10163-10199		(unassigned)	Unassigned
10200	tcp udp	trisoap	Trigence AE Soap Service
10201	tcp	rsms	Remote Server Management Service
10201	udp	rscs	Remote Server Control and Test Service
10202-10251		(unassigned)	Unassigned
10252	tcp udp	apollo-relay	Apollo Relay Port
10253	udp	eapol-relay	Relay of EAPOL frames
10253	tcp	(reserved)	Reserved
10254-10259		(unassigned)	Unassigned
10260	tcp udp	axis-wimp-port	Axis WIMP Port
10261	tcp	tile-ml	Tile remote machine learning
10261	udp	(reserved)	Reserved
10262-10287		(unassigned)	Unassigned
10288	tcp udp	blocks	Blocks
10289-10320		(unassigned)	Unassigned
10321	tcp	(reserved)	Reserved	De-Assigned on 2023-12-05.
10321	udp	(reserved)	Reserved
10322-10438		(unassigned)	Unassigned
10439	udp	bngsync	BalanceNG session table synchronization protocol
10439	tcp	(reserved)	Reserved
10440-10442		(unassigned)	Unassigned
10443	tcp	cirrossp	CirrosSP Workstation Communication
10443	udp	(reserved)	Reserved
10444-10499		(unassigned)	Unassigned
10500	tcp	(reserved)	Reserved
10500	udp	hip-nat-t	HIP NAT-Traversal
10501-10539		(unassigned)	Unassigned
10540	tcp udp	MOS-lower	MOS Media Object Metadata Port
10541	tcp udp	MOS-upper	MOS Running Order Port
10542	tcp udp	MOS-aux	MOS Low Priority Port
10543	tcp udp	MOS-soap	MOS SOAP Default Port
10544	tcp udp	MOS-soap-opt	MOS SOAP Optional Port
10545-10547		(unassigned)	Unassigned
10548	tcp	serverdocs	Apple Document Sharing Service
10548	udp	(reserved)	Reserved
10549-10630		(unassigned)	Unassigned
10631	tcp	printopia	Printopia Serve
10631	udp	(reserved)	Reserved
10632-10799		(unassigned)	Unassigned
10800	tcp udp	gap	Gestor de Acaparamiento para Pocket PCs
10801-10804		(unassigned)	Unassigned
10805	tcp udp	lpdg	LUCIA Pareja Data Group
10806-10808		(unassigned)	Unassigned
10809	tcp	nbd	Network Block Device
10809	udp	(reserved)	Reserved
10810	tcp	(reserved)	Reserved
10810	udp	nmc-disc	Nuance Mobile Care Discovery
10811-10859		(unassigned)	Unassigned
10860	tcp udp	helix	Helix Client/Server
10861-10879		(unassigned)	Unassigned
10880	tcp udp	bveapi	BVEssentials HTTP API
10881-10932		(unassigned)	Unassigned
10933	tcp	octopustentacle	Listen port used by the Octopus Deploy Tentacle deployment agent
10933	udp	(reserved)	Reserved
10934-10989		(unassigned)	Unassigned
10990	tcp udp	rmiaux	Auxiliary RMI Port
10991-10999		(unassigned)	Unassigned
11000	tcp udp	irisa	IRISA
11001	tcp udp	metasys	Metasys
11002-11094		(unassigned)	Unassigned
11095	tcp udp	weave	Nest device-to-device and device-to-service application protocol
11096-11102		(unassigned)	Unassigned
11103	tcp	origo-sync	OrigoDB Server Sync Interface
11103	udp	(reserved)	Reserved
11104	tcp	netapp-icmgmt	NetApp Intercluster Management
11104	udp	(reserved)	Reserved
11105	tcp	netapp-icdata	NetApp Intercluster Data
11105	udp	(reserved)	Reserved
11106	tcp udp	sgi-lk	SGI LK Licensing service
11107		(unassigned)	Unassigned
11108	udp	myq-termlink	Hardware Terminals Discovery and Low-Level Communication Protocol
11108	tcp	(reserved)	Reserved
11109	tcp	sgi-dmfmgr	Data migration facility Manager (DMF) is a browser based interface to DMF
11109	udp	(reserved)	Reserved
11110	tcp	sgi-soap	Data migration facility (DMF) SOAP is a web server protocol to support remote access to DMF
11110	udp	(reserved)	Reserved
11111	tcp udp	vce	Viral Computing Environment (VCE)
11112	tcp udp	dicom	DICOM
11113-11160		(unassigned)	Unassigned
11161	tcp udp	suncacao-snmp	sun cacao snmp access point
11162	tcp udp	suncacao-jmxmp	sun cacao JMX-remoting access point
11163	tcp udp	suncacao-rmi	sun cacao rmi registry access point
11164	tcp udp	suncacao-csa	sun cacao command-streaming access point
11165	tcp udp	suncacao-websvc	sun cacao web service access point
11166-11170		(unassigned)	Unassigned
11171	tcp	(reserved)	Reserved
11171	udp	snss	Surgical Notes Security Service Discovery (SNSS)
11172	tcp	oemcacao-jmxmp	OEM cacao JMX-remoting access point
11172	udp	(reserved)	Reserved
11173	tcp	t5-straton	Straton Runtime Programing
11173	udp	(reserved)	Reserved
11174	tcp	oemcacao-rmi	OEM cacao rmi registry access point
11174	udp	(reserved)	Reserved
11175	tcp	oemcacao-websvc	OEM cacao web service access point
11175	udp	(reserved)	Reserved
11176-11200		(unassigned)	Unassigned
11201	tcp udp	smsqp	smsqp
11202	tcp	dcsl-backup	DCSL Network Backup Services
11202	udp	(reserved)	Reserved
11203-11207		(unassigned)	Unassigned
11208	tcp udp	wifree	WiFree Service
11209-11210		(unassigned)	Unassigned
11211	tcp udp	memcache	Memory cache service
11212-11234		(unassigned)	Unassigned
11235	tcp sctp	xcompute	numerical systems messaging
11235	udp	(reserved)	Reserved
11236-11318		(unassigned)	Unassigned
11319	tcp udp	imip	IMIP
11320	tcp udp	imip-channels	IMIP Channels Port
11321	tcp udp	arena-server	Arena Server Listen
11322-11366		(unassigned)	Unassigned
11367	tcp udp	atm-uhas	ATM UHAS
11368-11370		(unassigned)	Unassigned
11371	tcp udp	hkp	OpenPGP HTTP Keyserver
11372-11429		(unassigned)	Unassigned
11430	udp	lsdp	Lenbrook Service Discovery Protocol
11430	tcp	(reserved)	Reserved
11431-11433		(unassigned)	Unassigned
11434	tcp	ollama	Ollama
11434	udp	(reserved)	Reserved
11435-11488		(unassigned)	Unassigned	Known UNAUTHORIZED USE: port 11488
11489	tcp	asgcypresstcps	ASG Cypress Secure Only
11489	udp	(reserved)	Reserved
11490-11599		(unassigned)	Unassigned
11600	tcp udp	tempest-port	Tempest Protocol Port
11601-11622		(unassigned)	Unassigned
11623	tcp	emc-xsw-dconfig	EMC XtremSW distributed config
11623	udp	(reserved)	Reserved
11624-11719		(unassigned)	Unassigned	Unauthorized Use Known on port 11711
11720	tcp udp	h323callsigalt	H.323 Call Control Signalling Alternate
11721-11722		(unassigned)	Unassigned
11723	tcp udp	emc-xsw-dcache	EMC XtremSW distributed cache
11724-11750		(unassigned)	Unassigned
11751	tcp udp	intrepid-ssl	Intrepid SSL
11752-11795		(unassigned)	Unassigned
11796	tcp	lanschool	LanSchool
11796	udp	lanschool-mpt	Lanschool Multipoint
11797-11875		(unassigned)	Unassigned
11876	tcp udp	xoraya	X2E Xoraya Multichannel protocol
11877	tcp	(reserved)	Reserved
11877	udp	x2e-disc	X2E service discovery protocol
11878-11966		(unassigned)	Unassigned
11967	tcp udp	sysinfo-sp	SysInfo Service Protocol
11968-11970		(unassigned)	Unassigned
11971	tcp	tibsd	TiBS Service
11971	udp	(reserved)	Reserved
11972-11996		(unassigned)	Unassigned
11997	sctp	wmereceiving	WorldMailExpress
11998	sctp	wmedistribution	WorldMailExpress
11999	sctp	wmereporting	WorldMailExpress
12000	tcp udp	entextxid	IBM Enterprise Extender SNA XID Exchange
12001	tcp udp	entextnetwk	IBM Enterprise Extender SNA COS Network Priority
12002	tcp udp	entexthigh	IBM Enterprise Extender SNA COS High Priority
12003	tcp udp	entextmed	IBM Enterprise Extender SNA COS Medium Priority
12004	tcp udp	entextlow	IBM Enterprise Extender SNA COS Low Priority
12005	tcp udp	dbisamserver1	DBISAM Database Server - Regular
12006	tcp udp	dbisamserver2	DBISAM Database Server - Admin
12007	tcp udp	accuracer	Accuracer Database System Server
12008	tcp udp	accuracer-dbms	Accuracer Database System Admin
12009	tcp	(reserved)	Reserved
12009	udp	ghvpn	Green Hills VPN
12010	tcp	edbsrvr	ElevateDB Server
12010	udp	(reserved)	Reserved
12011		(unassigned)	Unassigned
12012	tcp udp	vipera	Vipera Messaging Service
12013	tcp udp	vipera-ssl	Vipera Messaging Service over SSL Communication
12014-12108		(unassigned)	Unassigned
12109	tcp udp	rets-ssl	RETS over SSL
12110-12120		(unassigned)	Unassigned
12121	tcp udp	nupaper-ss	NuPaper Session Service
12122-12167		(unassigned)	Unassigned
12168	tcp udp	cawas	CA Web Access Service
12169-12171		(unassigned)	Unassigned
12172	tcp udp	hivep	HiveP
12173-12299		(unassigned)	Unassigned
12300	tcp udp	linogridengine	LinoGrid Engine
12301		(unassigned)	Unassigned
12302	tcp	rads	Remote Administration Daemon (RAD) is a system service that offers secure, remote, programmatic access to Solaris system configuration and run-time state
12302	udp	(reserved)	Reserved
12303-12320		(unassigned)	Unassigned
12321	tcp udp	warehouse-sss	Warehouse Monitoring Syst SSS
12322	tcp udp	warehouse	Warehouse Monitoring Syst
12323-12344		(unassigned)	Unassigned
12345	tcp udp	italk	Italk Chat System
12346-12545		(unassigned)	Unassigned
12546	tcp	carb-repl-ctrl	Carbonite Server Replication Control
12546	udp	(reserved)	Reserved
12547-12752		(unassigned)	Unassigned
12753	tcp udp	tsaf	tsaf port
12754-12864		(unassigned)	Unassigned
12865	tcp	netperf	control port for the netperf benchmark
12865	udp	(reserved)	Reserved
12866-13159		(unassigned)	Unassigned
13160	tcp udp	i-zipqd	I-ZIPQD
13161-13215		(unassigned)	Unassigned
13216	tcp udp	bcslogc	Black Crow Software application logging
13217	tcp udp	rs-pias	R&S Proxy Installation Assistant Service
13218	tcp	emc-vcas-tcp	EMC Virtual CAS Service
13218	udp	emc-vcas-udp	EMV Virtual CAS Service Discovery
13219-13222		(unassigned)	Unassigned
13223	tcp udp	powwow-client	PowWow Client
13224	tcp udp	powwow-server	PowWow Server
13225-13399		(unassigned)	Unassigned
13400	tcp	doip-data	DoIP Data
13400	udp	doip-disc	DoIP Discovery
13401-13719		(unassigned)	Unassigned
13720	tcp udp	bprd	BPRD Protocol (VERITAS NetBackup)
13721	tcp udp	bpdbm	BPDBM Protocol (VERITAS NetBackup)
13722	tcp udp	bpjava-msvc	BP Java MSVC Protocol
13723		(unassigned)	Unassigned
13724	tcp udp	vnetd	Veritas Network Utility
13725-13781		(unassigned)	Unassigned
13782	tcp udp	bpcd	VERITAS NetBackup
13783	tcp udp	vopied	VOPIED Protocol
13784		(unassigned)	Unassigned
13785	tcp udp	nbdb	NetBackup Database
13786	tcp udp	nomdb	Veritas-nomdb
13787-13817		(unassigned)	Unassigned
13818	tcp udp	dsmcc-config	DSMCC Config
13819	tcp udp	dsmcc-session	DSMCC Session Messages
13820	tcp udp	dsmcc-passthru	DSMCC Pass-Thru Messages
13821	tcp udp	dsmcc-download	DSMCC Download Protocol
13822	tcp udp	dsmcc-ccp	DSMCC Channel Change Protocol
13823	tcp	bmdss	Blackmagic Design Streaming Server
13823	udp	(reserved)	Reserved
13824-13831		(unassigned)	Unassigned
13832	tcp	a-trust-rpc	Certificate Management and Issuing
13832	udp	(reserved)	Reserved
13833-13893		(unassigned)	Unassigned
13894	tcp udp	ucontrol	Ultimate Control communication protocol
13895-13928		(unassigned)	Unassigned
13929	tcp udp	dta-systems	D-TA SYSTEMS
13930	tcp	medevolve	MedEvolve Port Requester
13930	udp	(reserved)	Reserved
13931-13999		(unassigned)	Unassigned
14000	tcp udp	scotty-ft	SCOTTY High-Speed Filetransfer
14001	tcp udp sctp	sua	SUA; udp: De-Registered
14002	udp	scotty-disc	Discovery of a SCOTTY hardware codec board
14002	tcp	(reserved)	Reserved
14003-14032		(unassigned)	Unassigned
14033	tcp udp	sage-best-com1	sage Best! Config Server 1
14034	tcp udp	sage-best-com2	sage Best! Config Server 2
14035-14140		(unassigned)	Unassigned
14141	tcp udp	vcs-app	VCS Application
14142	tcp udp	icpp	IceWall Cert Protocol
14143	tcp	icpps	IceWall Cert Protocol over TLS
14143	udp	(reserved)	Reserved
14144		(unassigned)	Unassigned
14145	tcp udp	gcm-app	GCM Application
14146-14148		(unassigned)	Unassigned
14149	tcp udp	vrts-tdd	Veritas Traffic Director
14150	tcp	vcscmd	Veritas Cluster Server Command Server
14150	udp	(reserved)	Reserved
14151-14153		(unassigned)	Unassigned
14154	tcp udp	vad	Veritas Application Director
14155-14249		(unassigned)	Unassigned
14250	tcp udp	cps	Fencing Server
14251-14413		(unassigned)	Unassigned
14414	tcp udp	ca-web-update	CA eTrust Web Update Service
14415-14499		(unassigned)	Unassigned
14500	tcp	xpra	xpra network protocol
14500	udp	(reserved)	Reserved
14501-14935		(unassigned)	Unassigned
14936	tcp udp	hde-lcesrvr-1	hde-lcesrvr-1
14937	tcp udp	hde-lcesrvr-2	hde-lcesrvr-2
14938-14999		(unassigned)	Unassigned
15000	tcp udp	hydap	Hypack Data Aquisition
15001		(unassigned)	Unassigned
15002	tcp	onep-tls	Open Network Environment TLS
15002	udp	(reserved)	Reserved
15003-15117		(unassigned)	Unassigned
15118	tcp	(reserved)	Reserved
15118	udp	v2g-secc	v2g Supply Equipment Communication Controller Discovery Protocol
15119-15344		(unassigned)	Unassigned
15345	tcp udp	xpilot	XPilot Contact Port
15346-15362		(unassigned)	Unassigned
15363	tcp udp	3link	3Link Negotiation
15364-15554		(unassigned)	Unassigned
15555	tcp udp	cisco-snat	Cisco Stateful NAT
15556-15659		(unassigned)	Unassigned
15660	tcp udp	bex-xr	Backup Express Restore Server
15661-15739		(unassigned)	Unassigned
15740	tcp udp	ptp	Picture Transfer Protocol
15741-15997		(unassigned)	Unassigned
15998	tcp	(reserved)	Reserved
15998	udp	2ping	2ping Bi-Directional Ping Service
15999	tcp	programmar	ProGrammar Enterprise
15999	udp	(reserved)	Reserved
16000	tcp	fmsas	Administration Server Access	Known Unauthorized Use on port 16000
16000	udp	(reserved)	Reserved	Known Unauthorized Use on port 16000
16001	tcp	fmsascon	Administration Server Connector
16001	udp	(reserved)	Reserved
16002	tcp	gsms	GoodSync Mediation Service
16002	udp	(reserved)	Reserved
16003	tcp	(reserved)	Reserved
16003	udp	alfin	Automation and Control by REGULACE.ORG
16004-16019		(unassigned)	Unassigned
16020	tcp	jwpc	Filemaker Java Web Publishing Core
16020	udp	(reserved)	Reserved
16021	tcp	jwpc-bin	Filemaker Java Web Publishing Core Binary
16021	udp	(reserved)	Reserved
16022-16160		(unassigned)	Unassigned
16161	tcp udp	sun-sea-port	Solaris SEA Port
16162	tcp	solaris-audit	Solaris Audit - secure remote audit log
16162	udp	(reserved)	Reserved
16163-16308		(unassigned)	Unassigned
16309	tcp udp	etb4j	etb4j
16310	tcp udp	pduncs	Policy Distribute, Update Notification
16311	tcp udp	pdefmns	Policy definition and update management
16312-16359		(unassigned)	Unassigned
16360	tcp udp	netserialext1	Network Serial Extension Ports One
16361	tcp udp	netserialext2	Network Serial Extension Ports Two
16362-16366		(unassigned)	Unassigned
16367	tcp udp	netserialext3	Network Serial Extension Ports Three
16368	tcp udp	netserialext4	Network Serial Extension Ports Four
16369-16383		(unassigned)	Unassigned
16384	tcp udp	connected	Connected Corp
16385	tcp	rdgs	Reliable Datagram Sockets
16385	udp	(reserved)	Reserved
16386-16618		(unassigned)	Unassigned
16619	tcp	xoms	X509 Objects Management Service
16619	udp	(reserved)	Reserved
16620-16664		(unassigned)	Unassigned
16665	tcp	axon-tunnel	Reliable multipath data transport for high latencies
16665	udp	(reserved)	Reserved
16666	tcp	(reserved)	Reserved
16666	udp	vtp	Vidder Tunnel Protocol
16667-16788		(unassigned)	Unassigned
16789	tcp	cadsisvr	This server provides callable services to mainframe External Security Managers from any TCP/IP platform
16789	udp	(reserved)	Reserved
16790-16899		(unassigned)	Unassigned
16900	tcp udp	newbay-snc-mc	Newbay Mobile Client Update Service
16901-16949		(unassigned)	Unassigned
16950	tcp udp	sgcip	Simple Generic Client Interface Protocol
16951-16990		(unassigned)	Unassigned
16991	tcp udp	intel-rci-mp	INTEL-RCI-MP
16992	tcp udp	amt-soap-http	Intel(R) AMT SOAP/HTTP
16993	tcp udp	amt-soap-https	Intel(R) AMT SOAP/HTTPS
16994	tcp udp	amt-redir-tcp	Intel(R) AMT Redirection/TCP
16995	tcp udp	amt-redir-tls	Intel(R) AMT Redirection/TLS
16996-17006		(unassigned)	Unassigned
17007	tcp udp	isode-dua
17008-17009		(unassigned)	Unassigned
17010	tcp	ncpu	Plan 9 cpu port
17010	udp	(reserved)	Reserved
17011-17183		(unassigned)	Unassigned
17184	tcp	vestasdlp	Vestas Data Layer Protocol
17184	udp	(reserved)	Reserved
17185	tcp udp	soundsvirtual	Sounds Virtual
17186-17218		(unassigned)	Unassigned
17219	tcp udp	chipper	Chipper
17220	tcp udp	avtp	IEEE 1722 Transport Protocol for Time Sensitive Applications
17221	tcp udp	avdecc	IEEE 1722.1 AVB Discovery, Enumeration, Connection management, and Control
17222	tcp	(reserved)	Reserved
17222	udp	cpsp	Control Plane Synchronization Protocol (SPSP)
17223	tcp	isa100-gci	ISA100 GCI is a service utilizing a common interface between an ISA100 Wireless gateway and a client application
17223	udp	(reserved)	Reserved
17224	udp	trdp-pd	Train Realtime Data Protocol (TRDP) Process Data
17224	tcp	(reserved)	Reserved
17225	tcp udp	trdp-md	Train Realtime Data Protocol (TRDP) Message Data
17226-17233		(unassigned)	Unassigned
17234	tcp udp	integrius-stp	Integrius Secure Tunnel Protocol
17235	tcp udp	ssh-mgmt	SSH Tectia Manager
17236-17499		(unassigned)	Unassigned
17500	tcp	db-lsp	Dropbox LanSync Protocol
17500	udp	db-lsp-disc	Dropbox LanSync Discovery
17501-17554		(unassigned)	Unassigned
17555	tcp	ailith	Ailith management of routers
17555	udp	(reserved)	Reserved
17556-17728		(unassigned)	Unassigned
17729	tcp udp	ea	Eclipse Aviation
17730-17753		(unassigned)	Unassigned
17754	tcp udp	zep	Encap. ZigBee Packets
17755	tcp udp	zigbee-ip	ZigBee IP Transport Service
17756	tcp udp	zigbee-ips	ZigBee IP Transport Secure Service
17757-17776		(unassigned)	Unassigned
17777	tcp	sw-orion	SolarWinds Orion
17777	udp	(reserved)	Reserved
17778-17999		(unassigned)	Unassigned
18000	tcp udp	biimenu	Beckman Instruments, Inc.
18001-18103		(unassigned)	Unassigned
18104	tcp	radpdf	RAD PDF Service
18104	udp	(reserved)	Reserved
18105-18135		(unassigned)	Unassigned
18136	tcp	racf	z/OS Resource Access Control Facility
18136	udp	(reserved)	Reserved
18137-18180		(unassigned)	Unassigned
18181	tcp udp	opsec-cvp	OPSEC CVP
18182	tcp udp	opsec-ufp	OPSEC UFP
18183	tcp udp	opsec-sam	OPSEC SAM
18184	tcp udp	opsec-lea	OPSEC LEA
18185	tcp udp	opsec-omi	OPSEC OMI
18186	tcp udp	ohsc	Occupational Health SC; udp: Occupational Health Sc
18187	tcp udp	opsec-ela	OPSEC ELA
18188-18240		(unassigned)	Unassigned
18241	tcp udp	checkpoint-rtm	Check Point RTM
18242	tcp	iclid	Checkpoint router monitoring
18242	udp	(reserved)	Reserved
18243	tcp	clusterxl	Checkpoint router state backup
18243	udp	(reserved)	Reserved
18244-18258		(unassigned)	Unassigned
18259		(unassigned)	Unassigned	Known Unauthorized Use on port 18259
18260-18261		(unassigned)	Unassigned
18262	tcp udp	gv-pf	GV NetConfig Service
18263-18462		(unassigned)	Unassigned
18463	tcp udp	ac-cluster	AC Cluster
18464-18515		(unassigned)	Unassigned
18516	tcp	(reserved)	Reserved
18516	udp	heythings	HeyThings Device communicate service
18517-18633		(unassigned)	Unassigned
18634	tcp udp	rds-ib	Reliable Datagram Service
18635	tcp udp	rds-ip	Reliable Datagram Service over IP
18636-18667		(unassigned)	Unassigned
18668	tcp	vdmmesh	Manufacturing Execution Systems Mesh Communication
18668	udp	vdmmesh-disc	Manufacturing Execution Systems Mesh Communication
18669-18768		(unassigned)	Unassigned
18769	tcp udp	ique	IQue Protocol
18770-18880		(unassigned)	Unassigned
18881	tcp udp	infotos	Infotos
18882-18887		(unassigned)	Unassigned
18888	tcp udp	apc-necmp	APCNECMP
18889-18999		(unassigned)	Unassigned
19000	tcp udp	igrid	iGrid Server
19001-19006		(unassigned)	Unassigned
19007	tcp udp	scintilla	Scintilla protocol for device services
19008-19019		(unassigned)	Unassigned
19020	tcp	j-link	J-Link TCP/IP Protocol
19020	udp	(reserved)	Reserved
19021-19190		(unassigned)	Unassigned
19191	tcp udp	opsec-uaa	OPSEC UAA
19192-19193		(unassigned)	Unassigned
19194	tcp udp	ua-secureagent	UserAuthority SecureAgent
19195-19219		(unassigned)	Unassigned
19220	tcp	cora	Client Connection Management and Data Exchange Service
19220	udp	cora-disc	Discovery for Client Connection Management and Data Exchange Service
19221-19282		(unassigned)	Unassigned
19283	tcp udp	keysrvr	Key Server for SASSAFRAS
19284-19314		(unassigned)	Unassigned
19315	tcp udp	keyshadow	Key Shadow for SASSAFRAS
19316-19397		(unassigned)	Unassigned
19398	tcp udp	mtrgtrans	mtrgtrans
19399-19409		(unassigned)	Unassigned
19410	tcp udp	hp-sco	hp-sco
19411	tcp udp	hp-sca	hp-sca
19412	tcp udp	hp-sessmon	HP-SESSMON
19413-19538		(unassigned)	Unassigned
19539	tcp udp	fxuptp	FXUPTP
19540	tcp udp	sxuptp	SXUPTP
19541	tcp udp	jcp	JCP Client
19542-19787		(unassigned)	Unassigned
19788	udp	mle	Mesh Link Establishment
19788	tcp	(reserved)	Reserved
19789		(unassigned)	Unassigned
19790	tcp	faircom-db	FairCom Database
19790	udp	(reserved)	Reserved
19791-19997		(unassigned)	Unassigned
19998	tcp	iec-104-sec	IEC 60870-5-104 process control - secure
19998	udp	(reserved)	Reserved
19999	tcp udp sctp	dnp-sec	Distributed Network Protocol - Secure; sctp: Distributed Network Protocol - secured
20000	tcp udp sctp	dnp	DNP; sctp: Distributed Network Protocol
20001	tcp udp	microsan	MicroSAN
20002	tcp udp	commtact-http	Commtact HTTP
20003	tcp udp	commtact-https	Commtact HTTPS
20004		(unassigned)	Unassigned
20005	tcp udp	openwebnet	OpenWebNet protocol for electric network
20006-20011		(unassigned)	Unassigned
20012	tcp	(reserved)	Reserved
20012	udp	ss-idi-disc	Samsung Interdevice Interaction discovery
20013	tcp	ss-idi	Samsung Interdevice Interaction
20013	udp	(reserved)	Reserved
20014	tcp udp	opendeploy	OpenDeploy Listener
20015-20033		(unassigned)	Unassigned
20034	tcp udp	nburn-id	NetBurner ID Port IANA assigned this well-formed service name as a replacement for "nburn_id".
20034	tcp udp	nburn_id	NetBurner ID Port
20035-20045		(unassigned)	Unassigned
20046	tcp udp	tmophl7mts	TMOP HL7 Message Transfer Service
20047-20047		(unassigned)	Unassigned
20048	tcp udp	mountd	NFS mount protocol
20049	tcp udp sctp	nfsrdma	Network File System (NFS) over RDMA
20050-20056		(unassigned)	Unassigned
20057	tcp	avesterra	AvesTerra Hypergraph Transfer Protocol (HGTP)
20057	udp	(reserved)	Reserved
20058-20166		(unassigned)	Unassigned
20167	tcp udp	tolfab	TOLfab Data Change
20168-20201		(unassigned)	Unassigned
20202	tcp udp	ipdtp-port	IPD Tunneling Port
20203-20221		(unassigned)	Unassigned
20222	tcp udp	ipulse-ics	iPulse-ICS
20223-20479		(unassigned)	Unassigned
20480	tcp udp	emwavemsg	emWave Message Service
20481-20669		(unassigned)	Unassigned
20670	tcp udp	track	Track
20671-20809		(unassigned)	Unassigned
20810	tcp	crtech-nlm	CRTech NLM
20810	udp	(reserved)	Reserved
20811-20998		(unassigned)	Unassigned
20999	tcp udp	athand-mmp	At Hand MMP; udp: AT Hand MMP
21000	tcp udp	irtrans	IRTrans Control
21001-21009		(unassigned)	Unassigned
21010	tcp	notezilla-lan	Notezilla.Lan Server
21010	udp	(reserved)	Reserved
21011-21211		(unassigned)	Unassigned
21212	tcp	trinket-agent	Distributed artificial intelligence
21212	udp	(reserved)	Reserved
21213	tcp	cohesity-agent	Cohesity backup agents
21213	udp	(reserved)	Reserved
21214-21220		(unassigned)	Unassigned
21221	tcp	aigairserver	Services for Air Server
21221	udp	(reserved)	Reserved
21222-21336		(unassigned)	Unassigned
21337	tcp	xahaud	Xahau P2P network protocol
21337	udp	(reserved)	Reserved
21338-21552		(unassigned)	Unassigned
21553	tcp	rdm-tfs	Raima RDM TFS
21553	udp	(reserved)	Reserved
21554	tcp udp	dfserver	MineScape Design File Server
21555-21589		(unassigned)	Unassigned
21590	tcp udp	vofr-gateway	VoFR Gateway
21591-21799		(unassigned)	Unassigned
21800	tcp udp	tvpm	TVNC Pro Multiplexing
21801	tcp	sal	Safe AutoLogon
21802-21844		(unassigned)	Unassigned
21845	tcp udp	webphone	webphone
21846	tcp udp	netspeak-is	NetSpeak Corp. Directory Services
21847	tcp udp	netspeak-cs	NetSpeak Corp. Connection Services
21848	tcp udp	netspeak-acd	NetSpeak Corp. Automatic Call Distribution
21849	tcp udp	netspeak-cps	NetSpeak Corp. Credit Processing System
21850-21999		(unassigned)	Unassigned
22000	tcp udp	snapenetio	SNAPenetIO
22001	tcp udp	optocontrol	OptoControl
22002	tcp udp	optohost002	Opto Host Port 2
22003	tcp udp	optohost003	Opto Host Port 3
22004	tcp udp	optohost004	Opto Host Port 4
22005	tcp udp	optohost004	Opto Host Port 5
22006-22124		(unassigned)	Unassigned
22125	tcp	dcap	dCache Access Protocol
22125	udp	(reserved)	Reserved
22126-22127		(unassigned)	Unassigned
22128	tcp	gsidcap	GSI dCache Access Protocol
22128	udp	(reserved)	Reserved
22129-22221		(unassigned)	Unassigned
22222	tcp	easyengine	EasyEngine is CLI tool to manage WordPress Sites on Nginx server
22222	udp	(reserved)	Reserved
22223-22272		(unassigned)	Unassigned
22273	tcp udp	wnn6	wnn6
22274-22304		(unassigned)	Unassigned
22305	tcp udp	cis	CompactIS Tunnel
22306-22332		(unassigned)	Unassigned
22333	tcp udp	showcockpit-net	ShowCockpit Networking
22334		(unassigned)	Unassigned
22335	tcp	shrewd-control	Initium Labs Security and Automation Control
22335	udp	shrewd-stream	Initium Labs Security and Automation Streaming
22336-22342		(unassigned)	Unassigned
22343	tcp udp	cis-secure	CompactIS Secure Tunnel
22344-22346		(unassigned)	Unassigned
22347	tcp udp	wibukey	WibuKey Standard WkLan
22348-22349		(unassigned)	Unassigned
22350	tcp udp	codemeter	CodeMeter Standard
22351	tcp	codemeter-cmwan	TPC/IP requests of copy protection software to a server
22351	udp	(reserved)	Reserved
22352-22536		(unassigned)	Unassigned
22537	tcp	caldsoft-backup	CaldSoft Backup server file transfer
22537	udp	(reserved)	Reserved
22538-22554		(unassigned)	Unassigned
22555	tcp	vocaltec-wconf	Vocaltec Web Conference
22555	udp	vocaltec-phone	Vocaltec Internet Phone
22556-22762		(unassigned)	Unassigned
22763	tcp udp	talikaserver	Talika Main Server
22764-22799		(unassigned)	Unassigned
22800	tcp udp	aws-brf	Telerate Information Platform LAN
22801-22950		(unassigned)	Unassigned
22951	tcp udp	brf-gw	Telerate Information Platform WAN
22952-22999		(unassigned)	Unassigned
23000	tcp udp	inovaport1	Inova LightLink Server Type 1
23001	tcp udp	inovaport2	Inova LightLink Server Type 2
23002	tcp udp	inovaport3	Inova LightLink Server Type 3
23003	tcp udp	inovaport4	Inova LightLink Server Type 4
23004	tcp udp	inovaport5	Inova LightLink Server Type 5
23005	tcp udp	inovaport6	Inova LightLink Server Type 6
23006-23052		(unassigned)	Unassigned
23053	tcp	gntp	Generic Notification Transport Protocol
23053	udp	(reserved)	Reserved
23054-23271		(unassigned)	Unassigned
23272	tcp	(reserved)	Reserved
23272	udp	s102	S102 application
23273-23293		(unassigned)	Unassigned
23294	tcp	5afe-dir	5AFE SDN Directory
23294	udp	5afe-disc	5AFE SDN Directory discovery
23295-23332		(unassigned)	Unassigned
23333	tcp udp	elxmgmt	Emulex HBAnyware Remote Management
23334-23399		(unassigned)	Unassigned
23400	tcp udp	novar-dbase	Novar Data
23401	tcp udp	novar-alarm	Novar Alarm
23402	tcp udp	novar-global	Novar Global
23403-23455		(unassigned)	Unassigned
23456	tcp	aequus	Aequus Service
23456	udp	(reserved)	Reserved
23457	tcp	aequus-alt	Aequus Service Mgmt
23457	udp	(reserved)	Reserved
23458-23545		(unassigned)	Unassigned
23546	tcp	areaguard-neo	AreaGuard Neo - WebServer
23546	udp	(reserved)	Reserved
23547-23999		(unassigned)	Unassigned
24000	tcp udp	med-ltp	med-ltp
24001	tcp udp	med-fsp-rx	med-fsp-rx
24002	tcp udp	med-fsp-tx	med-fsp-tx
24003	tcp udp	med-supp	med-supp
24004	tcp udp	med-ovw	med-ovw
24005	tcp udp	med-ci	med-ci
24006	tcp udp	med-net-svc	med-net-svc
24007-24241		(unassigned)	Unassigned
24242	tcp udp	filesphere	fileSphere
24243-24248		(unassigned)	Unassigned
24249	tcp udp	vista-4gl	Vista 4GL
24250-24320		(unassigned)	Unassigned
24321	tcp udp	ild	Isolv Local Directory
24322	udp	hid	Transport of Human Interface Device data streams
24322	tcp	(reserved)	Reserved
24323	tcp	vrmg-ip	Verimag mobile class protocol over TCP
24323	udp	(reserved)	Reserved
24324-24385		(unassigned)	Unassigned
24386	tcp udp	intel-rci	Intel RCI IANA assigned this well-formed service name as a replacement for "intel_rci".
24386	tcp udp	intel_rci	Intel RCI
24387-24464		(unassigned)	Unassigned
24465	tcp udp	tonidods	Tonido Domain Server
24466-24553		(unassigned)	Unassigned
24554	tcp udp	binkp	BINKP
24555-24576		(unassigned)	Unassigned
24577	tcp	bilobit	bilobit Service
24577	udp	bilobit-update	bilobit Service Update
24578-24600		(unassigned)	Unassigned
24601	udp	udpstp	UDP-based IP-Layer Capacity and performance measurement protocol
24601	tcp	(reserved)	Reserved
24602-24665		(unassigned)	Unassigned
24666	tcp	sdtvwcam	Service used by SmarDTV to communicate between a CAM and a second screen application
24666	udp	(reserved)	Reserved
24667-24675		(unassigned)	Unassigned
24676	tcp udp	canditv	Canditv Message Service
24677	tcp udp	flashfiler	FlashFiler
24678	tcp udp	proactivate	Turbopower Proactivate
24679		(unassigned)	Unassigned
24680	tcp udp	tcc-http	TCC User HTTP Service
24681-24726		(unassigned)	Unassigned
24727		(unassigned)	Unassigned	Unauthorized Use Known on port 24727
24728-24753		(unassigned)	Unassigned
24754	tcp	cslg	Citrix StorageLink Gateway
24754	udp	(reserved)	Reserved
24755-24849		(unassigned)	Unassigned
24850	tcp	(reserved)	Reserved
24850	udp	assoc-disc	Device Association Discovery
24851-24921		(unassigned)	Unassigned
24922	tcp udp	find	Find Identification of Network Devices
24923-24999		(unassigned)	Unassigned
25000	tcp udp	icl-twobase1	icl-twobase1
25001	tcp udp	icl-twobase2	icl-twobase2
25002	tcp udp	icl-twobase3	icl-twobase3
25003	tcp udp	icl-twobase4	icl-twobase4
25004	tcp udp	icl-twobase5	icl-twobase5
25005	tcp udp	icl-twobase6	icl-twobase6
25006	tcp udp	icl-twobase7	icl-twobase7
25007	tcp udp	icl-twobase8	icl-twobase8
25008	tcp udp	icl-twobase9	icl-twobase9
25009	tcp udp	icl-twobase10	icl-twobase10
25010-25099		(unassigned)	Unassigned
25100	tcp	db2c-tls	IBM Db2 Client Interface - Encrypted
25100	udp	(reserved)	Reserved
25101-25470		(unassigned)	Unassigned
25471	sctp	rna	RNSAP User Adaptation for Iurh
25472-25575		(unassigned)	Unassigned
25576	tcp	sauterdongle	Sauter Dongle
25576	udp	(reserved)	Reserved
25577-25603		(unassigned)	Unassigned
25604	tcp	idtp	Identifier Tracing Protocol
25604	udp	(reserved)	Reserved
25605-25792		(unassigned)	Unassigned
25793	tcp udp	vocaltec-hos	Vocaltec Address Server
25794-25899		(unassigned)	Unassigned
25900	tcp udp	tasp-net	TASP Network Comm
25901	tcp udp	niobserver	NIObserver
25902	tcp udp	nilinkanalyst	NILinkAnalyst
25903	tcp udp	niprobe	NIProbe
25904-25953		(unassigned)	Unassigned
25954	udp	bf-game	Bitfighter game server
25954	tcp	(reserved)	Reserved
25955	udp	bf-master	Bitfighter master server
25955	tcp	(reserved)	Reserved
25956-25999		(unassigned)	Unassigned
26000	tcp udp	quake	quake
26001-26132		(unassigned)	Unassigned
26133	tcp udp	scscp	Symbolic Computation Software Composability Protocol
26134-26207		(unassigned)	Unassigned
26208	tcp udp	wnn6-ds	wnn6-ds
26209-26256		(unassigned)	Unassigned
26257	tcp	cockroach	CockroachDB
26257	udp	(reserved)	Reserved
26258-26259		(unassigned)	Unassigned
26260	tcp udp	ezproxy	eZproxy
26261	tcp udp	ezmeeting	eZmeeting
26262	tcp udp	k3software-svr	K3 Software-Server
26263	tcp udp	k3software-cli	K3 Software-Client
26264		(unassigned)	De-registered
26265-26485		(unassigned)	Unassigned
26486	tcp	exoline-tcp	EXOline-TCP
26486	udp	exoline-udp	EXOline-UDP
26487	tcp udp	exoconfig	EXOconfig
26488		(unassigned)	Unassigned
26489	tcp udp	exonet	EXOnet
26490-26999		(unassigned)	Unassigned
27000-27009		flex-lm	FLEX LM (1-10)
27010	tcp	flex-lmadmin	A protocol for managing license services
27010	udp	(reserved)	Reserved
27011-27015		(unassigned)	Unassigned
27016	tcp	chlenix	Cloud hosting environment network
27016	udp	(reserved)	Reserved
27017	tcp	mongodb	Mongo database system
27017	udp	(reserved)	Reserved
27018-27344		(unassigned)	Unassigned	Unauthorized Use Known on ports 27018 and 27019
27345	tcp udp	imagepump	ImagePump
27346-27441		(unassigned)	Unassigned
27442	tcp udp	jesmsjc	Job controller service
27443-27503		(unassigned)	Unassigned
27504	tcp udp	kopek-httphead	Kopek HTTP Head Port
27505-27781		(unassigned)	Unassigned
27782	tcp udp	ars-vista	ARS VISTA Application
27783-27875		(unassigned)	Unassigned
27876	tcp	astrolink	Astrolink Protocol
27876	udp	(reserved)	Reserved
27877-27998		(unassigned)	Unassigned
27999	tcp udp	tw-auth-key	TW Authentication/Key Distribution and; udp: Attribute Certificate Services
28000	tcp udp	nxlmd	NX License Manager	Unauthorized Use Known on port 28000
28001	tcp	pqsp	PQ Service
28001	udp	(reserved)	Reserved
28002-28009		(unassigned)	Unassigned
28010	tcp	gruber-cashreg	Gruber cash registry protocol
28010	udp	(reserved)	Reserved
28011-28079		(unassigned)	Unassigned	Unauthorized Use Known on ports 28017, 28018 and 28019
28080	tcp	thor-engine	thor/server - ML engine
28080	udp	(reserved)	Reserved
28081-28118		(unassigned)	Unassigned
28119	tcp	(reserved)	Reserved
28119	udp	a27-ran-ran	A27 cdma2000 RAN Management
28120-28199		(unassigned)	Unassigned
28200	tcp udp	voxelstorm	VoxelStorm game server
28201-28239		(unassigned)	Unassigned
28240	tcp udp	siemensgsm	Siemens GSM
28241-28588		(unassigned)	Unassigned
28589	tcp	bosswave	Building operating system services wide area verified exchange
28589	udp	(reserved)	Reserved
28590-28999		(unassigned)	Unassigned
29000	tcp	saltd-licensing	Siemens Licensing Server
29000	udp	(reserved)	Reserved
29001-29117		(unassigned)	Unassigned
29118	tcp udp	(reserved)	Reserved
29118	sctp	sgsap	SGsAP in 3GPP
29119-29166		(unassigned)	Unassigned
29167	tcp udp	otmp	ObTools Message Protocol
29168	tcp udp	(reserved)	Reserved
29168	sctp	sbcap	SBcAP in 3GPP
29169	sctp	iuhsctpassoc	HNBAP and RUA Common Association
29170-29998		(unassigned)	Unassigned
29999	tcp	bingbang	data exchange protocol for IEC61850 in wind power plants
29999	udp	(reserved)	Reserved
30000	tcp	ndmps	Secure Network Data Management Protocol
30000	udp	(reserved)	Reserved
30001	tcp udp	pago-services1	Pago Services 1
30002	tcp udp	pago-services2	Pago Services 2
30003	tcp udp	amicon-fpsu-ra	Amicon FPSU-IP Remote Administration
30004	udp	amicon-fpsu-s	Amicon FPSU-IP VPN
30004	tcp	(reserved)	Reserved
30005-30099		(unassigned)	Unassigned
30100	tcp sctp	rwp	Remote Window Protocol
30100	udp	(reserved)	Reserved
30101-30259		(unassigned)	Unassigned
30260	tcp udp	kingdomsonline	Kingdoms Online (CraigAvenue)
30261-30399		(unassigned)	Unassigned
30400	tcp	gs-realtime	GroundStar RealTime System
30400	udp	(reserved)	Reserved
30401-30831		(unassigned)	Unassigned
30832	udp	samsung-disc	Samsung Convergence Discovery Protocol
30832	tcp	(reserved)	Reserved
30833-30998		(unassigned)	Unassigned
30999	tcp udp	ovobs	OpenView Service Desk Client
31000-31015		(unassigned)	Unassigned
31016	tcp	ka-sddp	Kollective Agent Secure Distributed Delivery Protocol
31016	udp	ka-kdp	Kollective Agent Kollective Delivery Protocol
31017-31019		(unassigned)	Unassigned
31020	tcp	autotrac-acp	Autotrac ACP 245
31020	udp	(reserved)	Reserved
31021-31028		(unassigned)	Unassigned
31029	tcp	(reserved)	Reserved
31029	udp	yawn	YaWN - Yet Another Windows Notifier
31030-31336		(unassigned)	Unassigned
31337	tcp udp	eldim	eldim is a secure file upload proxy
31338-31399		(unassigned)	Unassigned
31400	tcp	pace-licensed	PACE license server
31400	udp	(reserved)	Reserved
31401-31415		(unassigned)	Unassigned
31416	tcp udp	xqosd	XQoS network monitor
31417-31456		(unassigned)	Unassigned
31457	tcp udp	tetrinet	TetriNET Protocol
31458-31619		(unassigned)	Unassigned
31620	tcp udp	lm-mon	lm mon
31621-31684		(unassigned)	Unassigned
31685	tcp	dsx-monitor	DS Expert Monitor IANA assigned this well-formed service name as a replacement for "dsx_monitor".
31685	tcp	dsx_monitor	DS Expert Monitor
31685	udp	(reserved)	Reserved
31686-31764		(unassigned)	Unassigned
31765	tcp udp	gamesmith-port	GameSmith Port
31766-31947		(unassigned)	Unassigned
31948	tcp udp	iceedcp-tx	Embedded Device Configuration Protocol TX IANA assigned this well-formed service name as a replacement for "iceedcp_tx".
31948	tcp udp	iceedcp_tx	Embedded Device Configuration Protocol TX
31949	tcp udp	iceedcp-rx	Embedded Device Configuration Protocol RX IANA assigned this well-formed service name as a replacement for "iceedcp_rx".
31949	tcp udp	iceedcp_rx	Embedded Device Configuration Protocol RX
31950-32033		(unassigned)	Unassigned
32034	tcp udp	iracinghelper	iRacing helper service
32035-32248		(unassigned)	Unassigned
32249	tcp udp	t1distproc60	T1 Distributed Processor
32250-32399		(unassigned)	Unassigned
32400	tcp	plex	Plex multimedia
32400	udp	(reserved)	Reserved
32401-32482		(unassigned)	Unassigned
32483	tcp udp	apm-link	Access Point Manager Link
32484-32634		(unassigned)	Unassigned
32635	tcp udp	sec-ntb-clnt	SecureNotebook-CLNT
32636	tcp udp	DMExpress	DMExpress
32637-32766		(unassigned)	Unassigned
32767	tcp udp	filenet-powsrm	FileNet BPM WS-ReliableMessaging Client
32768	tcp udp	filenet-tms	Filenet TMS
32769	tcp udp	filenet-rpc	Filenet RPC
32770	tcp udp	filenet-nch	Filenet NCH
32771	tcp udp	filenet-rmi	FileNET RMI; udp: FileNet RMI
32772	tcp udp	filenet-pa	FileNET Process Analyzer
32773	tcp udp	filenet-cm	FileNET Component Manager
32774	tcp udp	filenet-re	FileNET Rules Engine
32775	tcp udp	filenet-pch	Performance Clearinghouse
32776	tcp udp	filenet-peior	FileNET BPM IOR
32777	tcp udp	filenet-obrok	FileNet BPM CORBA
32778-32800		(unassigned)	Unassigned
32801	tcp udp	mlsn	Multiple Listing Service Network
32802-32810		(unassigned)	Unassigned
32811	tcp	retp	Real Estate Transport Protocol
32811	udp	(reserved)	Reserved
32812-32895		(unassigned)	Unassigned
32896	tcp udp	idmgratm	Attachmate ID Manager
32897-32999		(unassigned)	Unassigned
33000	tcp	wg-endpt-comms	WatchGuard Endpoint Communications
33000	udp	(reserved)	Reserved
33001-33059		(unassigned)	Unassigned
33060	tcp	mysqlx	MySQL Database Extended Interface
33060	udp	(reserved)	Reserved
33061-33122		(unassigned)	Unassigned
33123	tcp udp	aurora-balaena	Aurora (Balaena Ltd)
33124-33330		(unassigned)	Unassigned
33331	tcp udp	diamondport	DiamondCentral Interface
33332		(unassigned)	Unassigned
33333	tcp	dgi-serv	Digital Gaslight Service
33333	udp	(reserved)	Reserved
33334	tcp	speedtrace	SpeedTrace TraceAgent
33334	udp	speedtrace-disc	SpeedTrace TraceAgent Discovery
33335-33433		(unassigned)	Unassigned
33434	tcp udp	traceroute	traceroute use
33435	tcp	(reserved)	Reserved
33435	udp	mtrace	IP Multicast Traceroute	Known Unauthorized Use on port 33435
33436-33655		(unassigned)	Unassigned	Known Unauthorized Use on ports 33436-33534
33656	tcp udp	snip-slave	SNIP Slave
33657-33889		(unassigned)	Unassigned
33890	tcp	digilent-adept	Adept IP protocol
33890	udp	(reserved)	Reserved
33891-34248		(unassigned)	Unassigned
34249	tcp udp	turbonote-2	TurboNote Relay Server Default Port
34250-34377		(unassigned)	Unassigned
34378	tcp udp	p-net-local	P-Net on IP local
34379	tcp udp	p-net-remote	P-Net on IP remote
34380-34566		(unassigned)	Unassigned
34567	tcp	dhanalakshmi	dhanalakshmi.org EDI Service
34567	udp	edi_service	dhanalakshmi.org EDI Service
34568-34961		(unassigned)	Unassigned
34962	tcp udp	profinet-rt	PROFInet RT Unicast
34963	tcp udp	profinet-rtm	PROFInet RT Multicast
34964	tcp udp	profinet-cm	PROFInet Context Manager
34965-34979		(unassigned)	Unassigned
34980	tcp udp	ethercat	EtherCAT Port
34981-34999		(unassigned)	Unassigned
35000	tcp	heathview	HeathView
35000	udp	(reserved)	Reserved
35001	tcp udp	rt-viewer	ReadyTech Viewer
35002	tcp	rt-sound	ReadyTech Sound Server
35002	udp	(reserved)	Reserved
35003	tcp	rt-devicemapper	ReadyTech DeviceMapper Server
35003	udp	(reserved)	Reserved
35004	tcp udp	rt-classmanager	ReadyTech ClassManager
35005	tcp	rt-labtracker	ReadyTech LabTracker
35005	udp	(reserved)	Reserved
35006	tcp	rt-helper	ReadyTech Helper Service
35006	udp	(reserved)	Reserved
35007-35099		(unassigned)	Unassigned
35100	tcp udp	axio-disc	Axiomatic discovery protocol
35101-35353		(unassigned)	Unassigned
35354	tcp	kitim	KIT Messenger
35354	udp	(reserved)	Reserved
35355	tcp	altova-lm	Altova License Management
35355	udp	altova-lm-disc	Altova License Management Discovery
35356	tcp	guttersnex	Gutters Note Exchange
35356	udp	(reserved)	Reserved
35357	tcp	openstack-id	OpenStack ID Service
35357	udp	(reserved)	Reserved
35358-36000		(unassigned)	Unassigned
36001	tcp udp	allpeers	AllPeers Network
36002-36410		(unassigned)	Unassigned
36411	udp	wlcp	Wireless LAN Control plane Protocol (WLCP)
36411	tcp	(reserved)	Reserved
36412	tcp udp	(reserved)	Reserved
36412	sctp	s1-control	S1-Control Plane (3GPP)
36413-36421		(unassigned)	Unassigned
36422	tcp udp	(reserved)	Reserved
36422	sctp	x2-control	X2-Control Plane (3GPP)
36423	sctp	slmap	SLm Interface Application Protocol
36424	sctp	nq-ap	Nq and Nq' Application Protocol
36425-36442		(unassigned)	Unassigned
36443	sctp	m2ap	M2 Application Part
36444	sctp	m3ap	M3 Application Part
36445-36461		(unassigned)	Unassigned
36462	tcp udp	(reserved)	Reserved
36462	sctp	xw-control	Xw-Control Plane (3GPP)
36463-36523		(unassigned)	Unassigned
36524	tcp	febooti-aw	Febooti Automation Workshop
36524	udp	(reserved)	Reserved
36525-36601		(unassigned)	Unassigned
36602	tcp	observium-agent	Observium statistics collection agent
36602	udp	(reserved)	Reserved
36603-36699		(unassigned)	Unassigned
36700	tcp	mapx	MapX communication
36700	udp	(reserved)	Reserved
36701-36864		(unassigned)	Unassigned
36865	tcp udp	kastenxpipe	KastenX Pipe
36866-37471		(unassigned)	Unassigned
37472	tcp udp	(reserved)	Reserved
37472	sctp	3gpp-w1ap	W1 signalling transport
37473-37474		(unassigned)	Unassigned
37475	tcp udp	neckar	science + computing's Venus Administration Port
37476-37482		(unassigned)	Unassigned
37483	tcp	gdrive-sync	Google Drive Sync
37483	udp	(reserved)	Reserved
37484-37600		(unassigned)	Unassigned
37601	tcp	eftp	Epipole File Transfer Protocol
37601	udp	(reserved)	Reserved
37602-37653		(unassigned)	Unassigned
37654	tcp udp	unisys-eportal	Unisys ClearPath ePortal
37655-37999		(unassigned)	Unassigned
38000	tcp	ivs-database	InfoVista Server Database
38000	udp	(reserved)	Reserved
38001	tcp	ivs-insertion	InfoVista Server Insertion
38001	udp	(reserved)	Reserved
38002	tcp	cresco-control	Cresco Controller
38002	udp	crescoctrl-disc	Cresco Controller Discovery
38003-38200		(unassigned)	Unassigned
38201	tcp udp	galaxy7-data	Galaxy7 Data Tunnel
38202	tcp udp	fairview	Fairview Message Service
38203	tcp udp	agpolicy	AppGate Policy Server
38204-38411		(unassigned)	Unassigned
38412	tcp udp	(reserved)	Reserved
38412	sctp	ng-control	NG Control Plane (3GPP)
38413-38421		(unassigned)	Unassigned
38422	tcp udp	(reserved)	Reserved
38422	sctp	xn-control	Xn Control Plane (3GPP)
38423-38461		(unassigned)	Unassigned
38462	tcp udp	(reserved)	Reserved
38462	sctp	e1-interface	E1 signalling transport (3GPP)
38463-38471		(unassigned)	Unassigned
38472	tcp udp	(reserved)	Reserved
38472	sctp	f1-control	F1 Control Plane (3GPP)
38473-38637		(unassigned)	Unassigned
38638	tcp	psqlmws	Premier SQL Middleware Server
38638	udp	(reserved)	Reserved
38639-38799		(unassigned)	Unassigned
38800	tcp	sruth	Sruth is a service for the distribution of routinely- generated but arbitrary files based on a publish/subscribe distribution model and implemented using a peer-to-peer transport mechanism
38800	udp	(reserved)	Reserved
38801-38864		(unassigned)	Unassigned
38865	tcp	secrmmsafecopya	Security approval process for use of the secRMM SafeCopy program
38865	udp	(reserved)	Reserved
38866-39062		(unassigned)	Unassigned
39063	tcp	vroa	Children's hearing test/Telemedicine
39063	udp	(reserved)	Reserved
39064-39680		(unassigned)	Unassigned
39681	tcp udp	turbonote-1	TurboNote Default Port
39682-39999		(unassigned)	Unassigned
40000	tcp udp	safetynetp	SafetyNET p
40001-40022		(unassigned)	Unassigned
40023	tcp	(reserved)	Reserved
40023	udp	k-patentssensor	K-PatentsSensorInformation
40024-40403		(unassigned)	Unassigned
40404	tcp	sptx	Simplify Printing TX
40404	udp	(reserved)	Reserved
40405-40840		(unassigned)	Unassigned
40841	tcp udp	cscp	CSCP
40842	tcp udp	csccredir	CSCCREDIR
40843	tcp udp	csccfirewall	CSCCFIREWALL
40844-40852		(unassigned)	Unassigned
40853	tcp	(reserved)	Reserved
40853	udp	ortec-disc	ORTEC Service Discovery
40854-41110		(unassigned)	Unassigned
41111	tcp udp	fs-qos	Foursticks QoS Protocol
41112-41120		(unassigned)	Unassigned
41121	tcp	tentacle	Tentacle Server
41121	udp	(reserved)	Reserved
41122-41229		(unassigned)	Unassigned
41230	tcp udp	z-wave-s	Z-Wave Protocol over SSL/TLS; udp: Z-Wave Protocol over DTLS
41231-41793		(unassigned)	Unassigned
41794	tcp udp	crestron-cip	Crestron Control Port
41795	tcp udp	crestron-ctp	Crestron Terminal Port
41796	tcp	crestron-cips	Crestron Secure Control Port
41796	udp	(reserved)	Reserved
41797	tcp	crestron-ctps	Crestron Secure Terminal Port
41797	udp	(reserved)	Reserved
41798-42507		(unassigned)	Unassigned	Unauthorized Use Known on port 42000
42508	tcp udp	candp	Computer Associates network discovery protocol
42509	tcp udp	candrp	CA discovery response
42510	tcp udp	caerpc	CA eTrust RPC
42511-42998		(unassigned)	Unassigned
42999	tcp	curiosity	API endpoint for search application
42999	udp	(reserved)	Reserved
43000	tcp	recvr-rc	Receiver Remote Control
43000	udp	recvr-rc-disc	Receiver Remote Control Discovery
43001-43187		(unassigned)	Unassigned
43188	tcp udp	reachout	REACHOUT
43189	tcp udp	ndm-agent-port	NDM-AGENT-PORT
43190	tcp udp	ip-provision	IP-PROVISION
43191	tcp	noit-transport	Reconnoiter Agent Data Transport
43191	udp	(reserved)	Reserved
43192-43209		(unassigned)	Unassigned
43210	tcp	shaperai	Shaper Automation Server Management
43210	udp	shaperai-disc	Shaper Automation Server Management Discovery
43211-43437		(unassigned)	Unassigned
43438	tcp	(reserved)	Reserved
43438	udp	hmip-routing	HmIP LAN Routing
43439	tcp	eq3-update	EQ3 firmware update
43439	udp	eq3-config	EQ3 discovery and configuration
43440	tcp	ew-mgmt	Cisco EnergyWise Management
43440	udp	ew-disc-cmd	Cisco EnergyWise Discovery and Command Flooding
43441	tcp udp	ciscocsdb	Cisco NetMgmt DB Ports
43442-44122		(unassigned)	Unassigned
44123	tcp	z-wave-tunnel	Z-Wave Secure Tunnel
44123	udp	(reserved)	Reserved
44124-44320		(unassigned)	Unassigned
44321	tcp udp	pmcd	PCP server (pmcd)
44322	tcp udp	pmproxy	PCP proxy (pmproxy)
44323	tcp	pmwebapi	HTTP binding for Performance Co-Pilot client API
44323	udp	(unassigned)	Unassigned	"pcp" assignment withdrawn, moved to port 5351 per RFC6887
44324-44443		(unassigned)	Unassigned
44444	tcp	cognex-dataman	Cognex DataMan Management Protocol
44444	udp	(reserved)	Reserved
44445	tcp	acronis-backup	Acronis Backup Gateway service port
44445	udp	(reserved)	Reserved
44446-44543		(unassigned)	Unassigned	Known UNAUTHORIZED USE: Ports 44515 & 44516
44544	tcp	(reserved)	Reserved
44544	udp	domiq	DOMIQ Building Automation
44545-44552		(unassigned)	Unassigned
44553	tcp udp	rbr-debug	REALbasic Remote Debug
44554-44599		(unassigned)	Unassigned
44600	tcp	(reserved)	Reserved
44600	udp	asihpi	AudioScience HPI
44601-44817		(unassigned)	Unassigned
44818	tcp udp	EtherNet-IP-2	EtherNet/IP messaging IANA assigned this well-formed service name as a replacement for "EtherNet/IP-2".
44818	tcp udp	EtherNet/IP-2	EtherNet/IP messaging
44819-44899		(unassigned)	Unassigned
44900	tcp	m3da	M3DA is used for efficient machine-to-machine communications
44900	udp	m3da-disc	M3DA Discovery is used for efficient machine-to-machine communications
44901-44999		(unassigned)	Unassigned
45000	tcp	asmp	Nuance AutoStore Status Monitoring Protocol (data transfer)
45000	udp	asmp-mon	Nuance AutoStore Status Monitoring Protocol (device monitoring)
45001	tcp	asmps	Nuance AutoStore Status Monitoring Protocol (secure data transfer)
45001	udp	(reserved)	Reserved
45002	tcp	rs-status	Redspeed Status Monitor
45002	udp	(reserved)	Reserved
45003-45044		(unassigned)	Unassigned
45045	tcp	synctest	Remote application control protocol
45045	udp	(reserved)	Reserved
45046-45053		(unassigned)	Unassigned
45054	tcp udp	invision-ag	InVision AG
45055-45184		(unassigned)	Unassigned
45185	tcp udp	witsnet	Wire and Wireless transfer on synchroniz
45186-45513		(unassigned)	Unassigned
45514	tcp	cloudcheck	ASSIA CloudCheck WiFi Management System
45514	udp	cloudcheck-ping	ASSIA CloudCheck WiFi Management keepalive
45515-45677		(unassigned)	Unassigned
45678	tcp udp	eba	EBA PRISE
45679-45823		(unassigned)	Unassigned
45824	tcp	dai-shell	Server for the DAI family of client-server products
45824	udp	(reserved)	Reserved
45825	tcp udp	qdb2service	Qpuncture Data Access Service
45826-45965		(unassigned)	Unassigned
45966	tcp udp	ssr-servermgr	SSRServerMgr
45967-46335		(unassigned)	Unassigned
46336	tcp	inedo	Listen port used for Inedo agent communication
46336	udp	(reserved)	Reserved
46337-46997		(unassigned)	Unassigned
46998	tcp	spremotetablet	Connection between a desktop computer or server and a signature tablet to capture handwritten signatures
46998	udp	(reserved)	Reserved
46999	tcp udp	mediabox	MediaBox Server
47000	tcp udp	mbus	Message Bus
47001	tcp	winrm	Windows Remote Management Service
47001	udp	(reserved)	Reserved
47002-47099		(unassigned)	Unassigned
47100	udp	jvl-mactalk	Configuration of motors connected to Industrial Ethernet
47100	tcp	(reserved)	Reserved
47101-47556		(unassigned)	Unassigned
47557	tcp udp	dbbrowse	Databeam Corporation
47558-47623		(unassigned)	Unassigned
47624	tcp udp	directplaysrvr	Direct Play Server
47625-47805		(unassigned)	Unassigned
47806	tcp udp	ap	ALC Protocol
47807		(unassigned)	Unassigned
47808	tcp udp	bacnet	Building Automation and Control Networks
47809	udp	presonus-ucnet	PreSonus Universal Control Network Protocol
47809	tcp	(reserved)	Reserved
47810-47999		(unassigned)	Unassigned
48000	tcp udp	nimcontroller	Nimbus Controller
48001	tcp udp	nimspooler	Nimbus Spooler
48002	tcp udp	nimhub	Nimbus Hub
48003	tcp udp	nimgtw	Nimbus Gateway
48004	tcp	nimbusdb	NimbusDB Connector
48004	udp	(reserved)	Reserved
48005	tcp	nimbusdbctrl	NimbusDB Control
48005	udp	(reserved)	Reserved
48006-48047		(unassigned)	Unassigned
48048	tcp	juka	Juliar Programming Language Protocol
48048	udp	(reserved)	Reserved
48049	tcp	3gpp-cbsp	3GPP Cell Broadcast Service Protocol
48049	udp	(reserved)	Reserved
48050	tcp	weandsf	WeFi Access Network Discovery and Selection Function
48050	udp	(reserved)	Reserved
48051-48127		(unassigned)	Unassigned
48128	tcp udp	isnetserv	Image Systems Network Services
48129	tcp udp	blp5	Bloomberg locator
48130-48555		(unassigned)	Unassigned
48556	tcp udp	com-bardac-dw	com-bardac-dw
48557-48618		(unassigned)	Unassigned
48619	tcp udp	iqobject	iqobject
48620-48652		(unassigned)	Unassigned
48653	tcp udp	robotraconteur	Robot Raconteur transport
48654-48999		(unassigned)	Unassigned
49000	tcp	matahari	Matahari Broker
49000	udp	(reserved)	Reserved
49001	tcp	nusrp	Nuance Unity Service Request Protocol
49001	udp	nusdp-disc	Nuance Unity Service Discovery Protocol
49002-49149		(unassigned)	Unassigned
49150	tcp	inspider	InSpider System
49150	udp	(reserved)	Reserved
49151		(reserved)	Reserved
"""
