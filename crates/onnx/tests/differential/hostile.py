"""Small files that ask for too much, or that are easily misread; some of them are in ../hostile.

    python hostile.py FOLDER
    sconce model inspect FOLDER/NAME.onnx                          # and sconce attack
"""
import numpy as np, onnx, sys, os
from onnx import helper as H, TensorProto as T, numpy_helper as NH
N=H.make_node
OUT=sys.argv[1]; os.makedirs(OUT, exist_ok=True)
def mk(name,nodes,inits=None,inshape=('n',3,8,8),ins=None,out='y',opset=17,outshape=('n',5),elem=1,outs=None,nodegraph=None):
    ins=ins or [H.make_tensor_value_info('x',elem,inshape)]
    its=[v if isinstance(v,onnx.TensorProto) else NH.from_array(np.asarray(v),k) for k,v in (inits or {}).items()]
    g=H.make_graph(nodes,'g',ins,outs or [H.make_tensor_value_info(out,1,outshape)],its)
    m=H.make_model(g,opset_imports=[H.make_opsetid('',opset)]); m.ir_version=8
    open(f'{OUT}/{name}.onnx','wb').write(m.SerializeToString())
rng=np.random.default_rng(0)
W=rng.standard_normal((5,192)).astype(np.float32)
FC=[N('Flatten',['h'],['f']),N('Gemm',['f','W'],['y'],transB=1)]
i64=lambda *a:np.array(a,np.int64)
def net(name,nodes,inits=None,**k): mk(name,nodes+FC,{**(inits or {}),'W':W},**k)
def rednet(name,nodes,inits=None,**k): mk(name,nodes+[N('ReduceMean',['h'],['m'],axes=[2,3],keepdims=0),N('MatMul',['m','V'],['y'])],{**(inits or {}),'V':rng.standard_normal((3,5)).astype(np.float32)},**k)
rednet('ok',[N('Relu',['x'],['h'])])
rednet('expand',[N('ReduceMean',['x'],['r'],axes=[2,3]),N('Expand',['r','s'],['h'])],{'s':i64(1,3,2**14,2**13)})
rednet('expand2',[N('ReduceMean',['x'],['r'],axes=[2,3]),N('Expand',['r','s'],['h0']),N('Relu',['h0'],['h1']),N('Exp',['h1'],['h2']),N('Exp',['h2'],['h'])],{'s':i64(1,3,2**14,2**13)})
rednet('tile',[N('Tile',['x','t'],['h'])],{'t':i64(1,1,2**10,2**10)})
rednet('tile_one',[N('ReduceMean',['x'],['r'],axes=[2,3]),N('Tile',['r','t'],['h'])],{'t':i64(1,1,1,2**27)})
rednet('tile_empty',[N('Slice',['x','z','z'],['e']),N('Tile',['e','t'],['e2']),N('ReduceSum',['e2'],['e3'],keepdims=0),N('Add',['x','e3'],['h'])],{'z':i64(0),'t':i64(2**40,1,1,1)})
rednet('tile_emptyc',[N('Tile',['e','t'],['e2']),N('ReduceSum',['e2'],['e3'],keepdims=0),N('Add',['x','e3'],['h'])],{'e':np.zeros((0,),np.float32),'t':i64(2**40)})
rednet('resize',[N('Resize',['x','','s'],['h'],mode='nearest')],{'s':np.array([1,1,2**10,2**10],np.float32)})
rednet('resize1',[N('ReduceMean',['x'],['r'],axes=[2,3]),N('Resize',['r','','','s'],['h'],mode='nearest')],{'s':i64(1,3,1,2**27)})
rednet('resizelin',[N('Resize',['x','','','s'],['h'],mode='linear')],{'s':i64(1,3,8,2**24)})
rednet('pad',[N('Pad',['x','p'],['h'])],{'p':i64(0,0,2**24,2**24,0,0,0,0)})
rednet('padone',[N('Pad',['x','p','v'],['h'])],{'p':i64(0,0,0,2**24,0,0,0,2**24),'v':np.float32(1)})
rednet('padedge',[N('Pad',['x','p'],['h'],mode='edge')],{'p':i64(0,0,2**20,2**20,0,0,0,0)})
rednet('padneg',[N('Pad',['x','p'],['h'])],{'p':i64(0,0,-20,0,0,0,15,0)})
w=rng.standard_normal((3,3,3,3)).astype(np.float32)
rednet('convstride',[N('Conv',['x','w'],['h'],strides=[2**31,2**31])],{'w':w})
rednet('convdil',[N('Conv',['x','w'],['h'],dilations=[2**31,2**31])],{'w':w})
rednet('convpad',[N('Conv',['x','w'],['h'],pads=[2**16]*4)],{'w':w})
rednet('convpad2',[N('Conv',['x','w'],['h'],pads=[2**16,0,0,2**16])],{'w':w})
rednet('convdilsame',[N('Conv',['x','w'],['h'],dilations=[2**14,2**14],auto_pad='SAME_UPPER')],{'w':w})
rednet('convt',[N('ConvTranspose',['x','w'],['h'],strides=[2**31,2**31])],{'w':w})
rednet('convt2',[N('ConvTranspose',['x','w'],['h'],strides=[2**13,2**13])],{'w':w})
rednet('convtop',[N('ConvTranspose',['x','w'],['h'],output_padding=[2**32-1,2**32-1])],{'w':w})
rednet('convtos',[N('ConvTranspose',['x','w'],['h'],output_shape=[2**31,2**31])],{'w':w})
rednet('conv0',[N('Conv',['x','w'],['h'],group=0)],{'w':w})
rednet('convg',[N('Conv',['x','w'],['h'],group=2)],{'w':w})
rednet('convz',[N('Conv',['x','w'],['h'])],{'w':np.zeros((3,3,0,0),np.float32)})
rednet('convzo',[N('Conv',['x','w'],['h'])],{'w':np.zeros((0,3,3,3),np.float32)})
rednet('convzi',[N('Conv',['x','w'],['h'])],{'w':np.zeros((3,0,3,3),np.float32)})
rednet('convbias',[N('Conv',['x','w','b'],['h'])],{'w':w,'b':np.zeros(7,np.float32)})
for op in('MaxPool','AveragePool'):
  rednet(op+'k',[N(op,['x'],['h'],kernel_shape=[60000,60000],pads=[50000]*4)])
  rednet(op+'s',[N(op,['x'],['h'],kernel_shape=[2,2],strides=[2**31,2**31],ceil_mode=1)])
  rednet(op+'pp',[N(op,['x'],['h'],kernel_shape=[2,2],pads=[2**16]*4)])
  rednet(op+'pk',[N(op,['x'],['h'],kernel_shape=[2,2],pads=[5]*4)])
  rednet(op+'big',[N(op,['x'],['h'],kernel_shape=[9,9])])
  rednet(op+'max',[N(op,['x'],['h'],kernel_shape=[2**32-1,2**32-1],pads=[2**16]*4,ceil_mode=1)])
rednet('lrn',[N('LRN',['x'],['h'],size=65535)])
rednet('prod',[N('ConstantOfShape',['s'],['o'],value=NH.from_array(np.array([1],np.float32))),N('ReduceMean',['x'],['r'],axes=[2,3]),N('Mul',['r','o'],['q']),N('ReduceProd',['q'],['p'],axes=[3]),N('Add',['x','p'],['h'])],{'s':i64(1,1,1,200000)})
rednet('constshape',[N('ConstantOfShape',['s'],['o']),N('ReduceMean',['o'],['p'],keepdims=0),N('Add',['x','p'],['h'])],{'s':i64(2**15,2**15)})
rednet('constneg',[N('ConstantOfShape',['s'],['o']),N('ReduceMean',['o'],['p'],keepdims=0),N('Add',['x','p'],['h'])],{'s':i64(-1,2**15)})
ns=[];prev='x'
for i in range(150): ns+=[N('ConstantOfShape',['s'],[f'o{i}']),N('Gather',[f'o{i}','g'],[f'g{i}']),N('Add',[prev,f'g{i}'],[f'a{i}'])]; prev=f'a{i}'
rednet('manyconst',ns+[N('Identity',[prev],['h'])],{'s':i64(2**24),'g':np.int64(0)})
ns=[];prev='x'
for i in range(28): ns.append(N('Concat',[prev,prev],[f'c{i}'],axis=2)); prev=f'c{i}'
rednet('concat2',ns+[N('Identity',[prev],['h'])])
ns=[];prev='k'
for i in range(60): ns.append(N('Concat',[prev,prev],[f'c{i}'],axis=0)); prev=f'c{i}'
rednet('concathost',ns+[N('Gather',[prev,'g'],['gg']),N('Cast',['gg'],['gf'],to=1),N('Add',['x','gf'],['h'])],{'k':i64(1,2,3),'g':np.int64(0)})
rednet('gatherbig',[N('ConstantOfShape',['s'],['o'],value=NH.from_array(np.array([1],np.int64))),N('Gather',['x','o'],['h'],axis=2)],{'s':i64(2**24)})
rednet('outer',[N('ReduceMean',['x'],['r'],axes=[2,3]),N('Expand',['r','s'],['e']),N('Transpose',['e'],['t'],perm=[0,1,3,2]),N('MatMul',['t','e'],['h'])],{'s':i64(1,3,1,2**18)})
rednet('range',[N('Range',['a','b','c'],['o']),N('Cast',['o'],['f'],to=1),N('ReduceMean',['f'],['p'],keepdims=0),N('Add',['x','p'],['h'])],{'a':np.int64(-2**63),'b':np.int64(2**63-1),'c':np.int64(2**40)})
rednet('random',[N('RandomNormal',[],['o'],shape=[2**14,2**16]),N('ReduceMean',['o'],['p'],keepdims=0),N('Add',['x','p'],['h'])])
rednet('onehotpow',[N('Pow',['x','e'],['h'])],{'e':np.float32(1e30)})
# missing inputs
for op in ('Sigmoid','Erf','HardSigmoid','Softplus','Clip','Relu','Add','Conv','Concat','Gemm','MatMul','BatchNormalization','Where','Split','Slice','Resize','Softmax','Reshape','Pad','Gather','LayerNormalization','ReduceMean','Shape','Cast','Identity','Transpose','Dropout','MaxPool','Sum','Tile','Expand','Squeeze','Range','ConstantOfShape','QuantizeLinear','DequantizeLinear','LRN','PRelu','Pow','Mod','ScatterND','GatherElements'):
  kw={'MaxPool':dict(kernel_shape=[2,2]),'LRN':dict(size=3),'Concat':dict(axis=0),'Cast':dict(to=1)}.get(op,{})
  rednet('noin_'+op,[N(op,[],['z'],**kw),N('Add',['x','z'],['h'])])
  rednet('one_'+op,[N(op,['x'],['z'],**kw),N('Add',['x','z'],['h'])])
  rednet('empty_'+op,[N(op,['','x'],['z'],**kw),N('Add',['x','z'],['h'])])
rednet('div1',[N('Add',['x','t'],['a']),N('Clip',['a','lo','hi'],['c']),N('Mul',['x','c'],['m']),N('Div',['m'],['h'])],{'t':np.float32(3),'lo':np.float32(0),'hi':np.float32(6)})
rednet('noout',[N('Relu',['x'],[]),N('Relu',['x'],['h'])])
rednet('erfmul0',[N('Mul',[],['a']),N('Erf',['a'],['z']),N('Add',['x','z'],['h'])])
# empties
rednet('emptyslice',[N('Slice',['x','z','z','ax'],['e']),N('Concat',['e','x'],['h'],axis=2)],{'z':i64(0),'ax':i64(2)})
for op in ('Relu','Softmax','ReduceMax','ReduceMean','ReduceSum','ReduceProd','Sigmoid','MaxPool','AveragePool','GlobalAveragePool','GlobalMaxPool','LayerNormalization','Exp','Conv','InstanceNormalization','LRN','Gather','Transpose','MatMul','Resize','Pad','DepthToSpace','Clip','Gelu','Floor','Tanh','LogSoftmax','BatchNormalization','ConvTranspose','Flatten','Tile','GatherElements','ScatterND'):
  for axn in (0,1,2):
    kw={'MaxPool':dict(kernel_shape=[1,1]),'AveragePool':dict(kernel_shape=[1,1]),'LRN':dict(size=3),'Resize':dict(mode='linear'),'DepthToSpace':dict(blocksize=1),'ReduceMax':dict(axes=[3]),'ReduceMean':dict(axes=[2]),'ReduceProd':dict(axes=[2])}.get(op,{})
    it={'LayerNormalization':{'s1':np.ones(8,np.float32)},'Conv':{'s1':w},'ConvTranspose':{'s1':w},'InstanceNormalization':{'s1':np.ones(3,np.float32),'s2':np.ones(3,np.float32)},'Gather':{'s1':i64()},'MatMul':{'s1':np.ones((8,4),np.float32)},'Resize':{'s0':np.zeros(0,np.float32),'s1':np.array([1,1,2,2],np.float32)},'Pad':{'s1':i64(0,0,1,1,0,0,1,1)},'BatchNormalization':{k:np.ones(3,np.float32) for k in ('s1','s2','s3','s4')},'Tile':{'s1':i64(2,2,2,2)},'GatherElements':{'s1':np.zeros((0,3,8,8),np.int64)},'ScatterND':{'s1':np.zeros((0,1),np.int64),'s2':np.zeros((0,3,8,8),np.float32)}}.get(op,{})
    rednet(f'zero_{op}_{axn}',[N('Slice',['x','z','z','ax'],['e']),N(op,['e']+list(it),['q'],**kw),N('ReduceSum',['q'],['q2'],keepdims=0),N('Add',['x','q2'],['h'])],{**it,'z':i64(0),'ax':i64(axn)})
mk('inzero',[N('Relu',['x'],['h'])]+FC,{'W':W},inshape=('n',0,8,8))
# deep
def deep(name,n,op='Relu',k=None,**kw):
  ns=[];prev='x'
  for i in range(n): ns.append(N(op,[prev]+([k] if k else []),[f'v{i}'])); prev=f'v{i}'
  rednet(name,ns+[N('Identity',[prev],['h'])],{'k':np.float32(1e-6)} if k else {},inshape=('n',3,4,4),**kw)
deep('deep5k',5000); deep('deep50k',50000,'Add','k'); deep('deep300k',300000,'Neg')
# identity fan / many compares (quadratic)
ns=[];
for i in range(20000): ns+= [N('Greater',['x','k'],[f'g{i}']),N('Where',[f'g{i}','x','k'],[f'w{i}'])]
ns.append(N('Sum',[f'w{i}' for i in range(20000)],['h']))
rednet('greater20k',ns,{'k':np.float32(.5)},inshape=('n',3,4,4))
its={f'k{i}':np.array([.1,.1],np.float32) for i in range(40000)}; ns=[];prev='x'
for i in range(40000): ns.append(N('Add',[prev,f'k{i}'],[f'v{i}'])); prev=f'v{i}'
rednet('weights40k',ns+[N('Identity',[prev],['h'])],its,inshape=('n',3,4,4))
# million unreachable nodes
g=H.make_graph([N('Relu',['x'],[f'u{i}']) for i in range(300000)]+[N('Relu',['x'],['h'])]+FC,'g',[H.make_tensor_value_info('x',1,('n',3,8,8))],[H.make_tensor_value_info('y',1,('n',5))],[NH.from_array(W,'W')])
m=H.make_model(g,opset_imports=[H.make_opsetid('',17)]); m.ir_version=8; open(f'{OUT}/dead300k.onnx','wb').write(m.SerializeToString())
# tensors with bad dims
for nm,dims in (('neg',[-1,3]),('huge',[2**62,2**62]),('ovf',[2**32,2**32]),('big',[2**40]),('zero',[0,2**62]),('zero2',[2**62,2**62,0])):
  t=T(); t.name='k'; t.data_type=1; t.dims.extend(dims); t.raw_data=b''
  rednet('dims_'+nm,[N('ReduceSum',['k'],['p'],keepdims=0),N('Add',['x','p'],['h'])],{'k':t})
rednet('reshapehuge',[N('Reshape',['x','s'],['h'])],{'s':i64(2**62,2**62,0,4)})
rednet('reshapehuge2',[N('Reshape',['x','s'],['h'])],{'s':i64(2**32,2**32,-1,4)})
rednet('d2s',[N('DepthToSpace',['x'],['h'],blocksize=65536)])
rednet('unsq',[N('Unsqueeze',['x','a'],['h'])],{'a':i64(*range(4,70))})
rednet('axismin',[N('Softmax',['x'],['h'],axis=-2**63)])
rednet('slicemin',[N('Slice',['x','a','b','c','d'],['h'])],{'a':i64(-2**63),'b':i64(2**63-1),'c':i64(2),'d':i64(-2**63)})
rednet('clipnan',[N('Clip',['x','a','b'],['h'])],{'a':np.float32('nan'),'b':np.float32(1)})
rednet('split0',[N('Split',['x','s'],['h','u'],axis=2)],{'s':i64(2**63-1,2**63-1)})
# sockets: semantics
def sem(name,nodes,inits=None,**k): mk('sem_'+name,nodes,{**(inits or {}),'W':W,'W1':W[:1],'b':np.float32([.1])},**k)
G=[N('Flatten',['x'],['f']),N('Gemm',['f','W'],['l'],transB=1)]
G1=[N('Flatten',['x'],['f']),N('Gemm',['f','W1'],['l'],transB=1)]
sem('softmax0',G+[N('Softmax',['l'],['y'],axis=0)])
sem('softmax1',G+[N('Softmax',['l'],['y'],axis=1)])
sem('softmax_reshape',G+[N('Softmax',['l'],['p'],axis=1),N('Reshape',['p','s'],['y'])],{'s':i64(-1,5)})
sem('softmax_cast',G+[N('Softmax',['l'],['p'],axis=1),N('Cast',['p'],['y'],to=1)])
sem('softmax_clip',G+[N('Softmax',['l'],['p'],axis=1),N('Clip',['p','lo','hi'],['y'])],{'lo':np.float32(1e-7),'hi':np.float32(1)})
sem('softmax_log',G+[N('Softmax',['l'],['p'],axis=1),N('Log',['p'],['y'])])
sem('softmax_spell',G+[N('ReduceMax',['l'],['m'],axes=[1]),N('Sub',['l','m'],['d']),N('Exp',['d'],['e']),N('ReduceSum',['e','a'],['s']),N('Div',['e','s'],['y'])],{'a':i64(1)})
sem('softmax_mul100',G+[N('Mul',['l','h'],['l2']),N('Softmax',['l2'],['y'],axis=1)],{'h':np.float32(100)})
sem('softmax_squeeze',[N('Flatten',['x'],['f']),N('Gemm',['f','W'],['l0'],transB=1),N('Reshape',['l0','s'],['l']),N('Softmax',['l'],['p'],axis=1),N('Squeeze',['p','a'],['y'])],{'s':i64(-1,5,1,1),'a':i64(2,3)})
sem('sigmoid1',G1+[N('Sigmoid',['l'],['y'])],outshape=('n',1))
sem('sigmoid1_squeeze',G1+[N('Sigmoid',['l'],['p']),N('Squeeze',['p','a'],['y'])],{'a':i64(1)},outshape=('n',))
sem('sigmoid1_reshape',G1+[N('Sigmoid',['l'],['p']),N('Reshape',['p','a'],['y'])],{'a':i64(-1)},outshape=('n',))
sem('sigmoid1_concat',G1+[N('Sigmoid',['l'],['p']),N('Sub',['o','p'],['q']),N('Concat',['q','p'],['y'],axis=1)],{'o':np.float32(1)},outshape=('n',2))
sem('sigmoidK',G+[N('Sigmoid',['l'],['y'])])
sem('round',G+[N('Round',['l'],['y'])])
sem('binarize',[N('Greater',['x','t'],['g']),N('Where',['g','o','z'],['b2']),N('Flatten',['b2'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'t':np.float32(.5),'o':np.float32(1),'z':np.float32(0)})
sem('binarizevec',[N('Greater',['x','t'],['g']),N('Where',['g','o','z'],['b2']),N('Flatten',['b2'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'t':np.float32(.5),'o':np.ones((3,8,8),np.float32),'z':np.zeros((3,8,8),np.float32)})
sem('mod',[N('Mod',['x','t'],['g'],fmod=1),N('Sub',['x','g'],['b2']),N('Flatten',['b2'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'t':np.float32(.1)})
sem('nhwc_dyn',[N('Transpose',['x'],['t'],perm=[0,3,1,2]),N('Flatten',['t'],['f']),N('Gemm',['f','W'],['y'],transB=1)],inshape=('n','h','w',3))
sem('nhwc',[N('Transpose',['x'],['t'],perm=[0,3,1,2]),N('Flatten',['t'],['f']),N('Gemm',['f','W'],['y'],transB=1)],inshape=('n',8,8,3))
sem('nhwc_alldyn',[N('Transpose',['x'],['t'],perm=[0,3,1,2]),N('Flatten',['t'],['f']),N('Gemm',['f','W'],['y'],transB=1)],inshape=('n','a','b','c'))
sem('nchw_dyn',G+[N('Identity',['l'],['y'])],inshape=('n',3,'h','w'))
sem('f16',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=10)
sem('bf16',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=16)
sem('u8',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=2)
sem('i8',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=3)
sem('i32',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=6)
sem('f64',[N('Cast',['x'],['c'],to=1),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],elem=11)
vi=H.make_tensor_value_info
sem('two',[N('Add',['x','x2'],['s']),N('Flatten',['s'],['f']),N('Gemm',['f','W'],['y'],transB=1)],ins=[vi('x',1,('n',3,8,8)),vi('x2',1,('n',3,8,8))])
sem('unused2',G+[N('Identity',['l'],['y'])],ins=[vi('x',1,('n',3,8,8)),vi('mask',1,('n',4))])
sem('nodims',G+[N('Identity',['l'],['y'])],ins=[vi('x',1,None)])
sem('nobatch',[N('Reshape',['x','s'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'s':i64(1,192)},ins=[vi('x',1,(3,8,8))])
sem('bakedreshape4',[N('Reshape',['x','s'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'s':i64(4,192)})
sem('mixbatch',[N('ReduceMean',['x'],['m'],axes=[0]),N('Sub',['x','m'],['d']),N('Flatten',['d'],['f']),N('Gemm',['f','W'],['y'],transB=1)])
sem('roll',[N('Slice',['x','o','big','z'],['a']),N('Slice',['x','z','o','z'],['b2']),N('Concat',['a','b2'],['c'],axis=0),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'o':i64(1),'big':i64(2**31),'z':i64(0)})
sem('causal',[N('Slice',['x','z','o','z'],['a']),N('Add',['x','a'],['c']),N('Flatten',['c'],['f']),N('Gemm',['f','W'],['y'],transB=1)],{'o':i64(1),'z':i64(0)})
sem('feat_first',G+[N('Identity',['f'],['feat']),N('Identity',['l'],['y'])],outs=[vi('feat',1,('n',192)),vi('y',1,('n',5))])
sem('argmax',G+[N('ArgMax',['l'],['y'],axis=1)],outs=[vi('y',7,('n',))])

def deep(name,n,op='Relu',k=None,**kw):
  ns=[];prev='x'
  for i in range(n): ns.append(N(op,[prev]+([k] if k else []),[f'v{i}'])); prev=f'v{i}'
  rednet(name,ns+[N('Identity',[prev],['h'])],{'k':np.float32(1e-6)} if k else {},inshape=('n',3,4,4),**kw)
for n in (10000,25000): deep(f'deepadd{n}',n,'Add','k')
deep('deeprelu100k',100000,'Relu'); deep('deepsig100k',100000,'Sigmoid')
for n in (2000,6000,8000): deep(f'da{n}',n,'Add','k')
deep('relu8k',8000,'Relu'); deep('relu20k',20000,'Relu')

rednet('batchhuge',[N('Relu',['x'],['h'])],inshape=(2**40,3,8,8))
rednet('batch1m',[N('Relu',['x'],['h'])],inshape=(1000000,3,8,8))
w=rng.standard_normal((3,3,3,3)).astype(np.float32)
# tensor exponents etc

# softmax peel with two heads; nchw-with-last-3
i=i64
mk('lay_c22w1',[N('Flatten',['x'],['f']),N('Gemm',['f','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,22*8)).astype(np.float32)},inshape=('n',22,8,1))
mk('lay_28281',[N('Flatten',['x'],['f']),N('Gemm',['f','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,784)).astype(np.float32)},inshape=('n',28,28,1))
mk('lay_333',[N('Flatten',['x'],['f']),N('Gemm',['f','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,27)).astype(np.float32)},inshape=('n',3,3,3))
mk('lay_784',[N('Gemm',['x','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,784)).astype(np.float32)},inshape=('n',784))
mk('lay_2828',[N('Flatten',['x'],['f']),N('Gemm',['f','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,784)).astype(np.float32)},inshape=('n',28,28))
mk('lay_nhwc784flat',[N('Transpose',['x'],['t'],perm=[0,2,3,1]),N('Flatten',['t'],['f']),N('Gemm',['f','W2'],['y'],transB=1)],{'W2':rng.standard_normal((5,784)).astype(np.float32)},inshape=('n',1,28,28))

# realistic: masked-gradient straight line, RMS norm with vector exponent
rednet('powvec',[N('Sub',['x','k'],['s']),N('Pow',['s','e'],['h'])],{'k':np.float32(.5),'e':np.full((3,1,1),2,np.float32)})
rednet('resize07',[N('Resize',['x','','s'],['h0'],mode='linear'),N('Reshape',['h0','t'],['h'])],{'s':np.array([1,1,.7,.7],np.float32),'t':i64(-1,3,7,7)},inshape=('n',3,10,10))
# Where as a hard gate with constant branches after conv
rednet('fewmasked',[N('Relu',['x'],['h'])])
